-- c02
--
-- revision: c02
-- revises: c01
-- depends-on: c09

-- migrate:up
create table c02 (n integer);
