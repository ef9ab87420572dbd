-- c01
-- revision: c01

-- migrate:up postgres
create table c01 (n integer);
