-- c01
--
-- revision: c01

-- migrate:up
begin;
create table c01 (n integer);
commit;
