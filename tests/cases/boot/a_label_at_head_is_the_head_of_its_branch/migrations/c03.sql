-- c03
--
-- revision: c03
-- revises: c01
-- branch: right

-- migrate:up
create table c03 (n integer);
