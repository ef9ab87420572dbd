-- abcd2
--
-- revision: abcd2
-- revises: abcd1

-- migrate:up
create table abcd2 (n integer);
