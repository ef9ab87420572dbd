create table theirs (n integer);
insert into theirs values (5);
