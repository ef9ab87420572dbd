-- c01
--
-- revision: c01
-- transaction: false

-- migrate:up
create table c01 (n integer);
insert into c01 values (1);
create index c01_n on c01 (n);
