-- c01
--
-- revision: c01
-- dependson: c00

-- migrate:up
create table c01 (n integer);
