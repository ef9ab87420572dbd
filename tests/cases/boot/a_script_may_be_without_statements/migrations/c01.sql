-- c01
--
-- revision: c01

-- migrate:up
-- nothing to do
