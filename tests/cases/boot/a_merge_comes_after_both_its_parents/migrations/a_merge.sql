-- c04
--
-- revision: c04
-- revises: c02, c03

-- migrate:up

