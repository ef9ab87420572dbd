-- another title  
--  
-- revision: c02  
-- revises: c01  
-- tag: 1.0  
  
-- migrate:up  
create table c02 (n integer);  

-- migrate:down
drop table c02;
