-- c01
--
-- revision: c01

-- migrate:up
create table c01 (n integer primary key);
create table d (n integer references c01 (n) deferrable initially deferred);
