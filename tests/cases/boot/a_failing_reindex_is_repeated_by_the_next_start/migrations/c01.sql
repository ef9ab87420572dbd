-- c01
--
-- revision: c01
-- reindex: records

-- migrate:up
create table c01 (n integer);
