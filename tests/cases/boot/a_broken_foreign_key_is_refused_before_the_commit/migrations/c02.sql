-- c02
--
-- revision: c02
-- revises: c01

-- migrate:up
insert into d values (7);
