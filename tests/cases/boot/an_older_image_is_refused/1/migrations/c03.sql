-- c03
--
-- revision: c03
-- revises: c02

-- migrate:up
create table c03 (n integer);
