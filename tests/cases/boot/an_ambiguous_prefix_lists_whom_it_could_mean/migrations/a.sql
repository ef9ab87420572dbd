-- abcd1
--
-- revision: abcd1

-- migrate:up
create table abcd1 (n integer);
