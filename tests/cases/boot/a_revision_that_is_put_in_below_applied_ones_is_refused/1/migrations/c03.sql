-- c03
--
-- revision: c03
-- revises: c01

-- migrate:up
create table c03 (n integer);
