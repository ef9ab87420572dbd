-- c02
--
-- revision: c02
-- revises: c01

-- migrate:up
create table c02 (n integer);
