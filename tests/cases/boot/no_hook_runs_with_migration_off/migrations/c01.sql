-- c01
--
-- revision: c01

-- migrate:up
create table c01 (n integer);
