-- c01
--
-- revision: c01
-- depends-on: c02

-- migrate:up
create table c01 (n integer);
