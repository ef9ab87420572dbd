-- Run once by the image of PostgreSQL, when its volume is new: the databases that Agenta expects.
create database agenta_oss_core;
create database agenta_oss_tracing;
create database agenta_oss_supertokens;
