-- c04
--
-- revision: c04
-- revises: c03
-- reindex: records

-- migrate:up
create table c04 (n integer);
