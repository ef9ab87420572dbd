-- c01
-- revision: c01

-- migrate:up
create table c01 (n integer);
-- migrate:up sqlite
insert into c01 values (1);
-- migrate:up postgres
insert into c01 values (2);
