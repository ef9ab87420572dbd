-- create users table
--
-- revision: 74694870197c
-- created: 2023-03-14 09:21:05

-- migrate:up postgres
create table users (
    id            uuid primary key default gen_random_uuid(),
    username      varchar not null unique,
    display_name  varchar,
    role          varchar not null default 'annotator',
    api_key       varchar not null unique,
    password_hash varchar not null,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

-- migrate:up sqlite
-- Ids are text here: a column declared UUID gets numeric affinity, which would read an id
-- that looks like 12e34 as a number. Times are UTC, as current_timestamp writes them.
create table users (
    id            text primary key not null default (lower(hex(randomblob(16)))),
    username      text not null unique,
    display_name  text,
    role          text not null default 'annotator',
    api_key       text not null unique,
    password_hash text not null,
    created_at    text not null default current_timestamp,
    updated_at    text not null default current_timestamp
);

-- migrate:down
drop table users;
