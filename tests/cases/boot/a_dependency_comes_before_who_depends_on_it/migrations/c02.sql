-- c02
--
-- revision: c02

-- migrate:up
create table c02 (n integer);
