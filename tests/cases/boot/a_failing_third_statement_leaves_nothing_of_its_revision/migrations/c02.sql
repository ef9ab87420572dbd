-- c02
--
-- revision: c02
-- revises: c01

-- migrate:up
create table c02 (n integer);

insert into c02 values (1);

insert into c02
values (1, nonsense);

insert into c02 values (4);
