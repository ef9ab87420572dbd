-- create c01

-- migrate:up
select 1;
