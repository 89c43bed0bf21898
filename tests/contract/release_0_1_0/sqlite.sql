-- What release 0.1.0 made of an empty database: its tables had no versions yet.
CREATE TABLE head (
    shard INTEGER NOT NULL,
    origin VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    root BLOB NOT NULL,
    time_ms BIGINT NOT NULL,
    registry_sequence BIGINT NOT NULL,
    registry_hash VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    PRIMARY KEY (shard)
);

CREATE TABLE entry (
    shard INTEGER NOT NULL,
    idx BIGINT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (shard, idx)
);

CREATE TABLE node (
    shard INTEGER NOT NULL,
    level INTEGER NOT NULL,
    idx BIGINT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (shard, level, idx)
)
 WITHOUT ROWID;

CREATE TABLE opening (
    shard INTEGER NOT NULL,
    idx BIGINT NOT NULL,
    patient BIGINT NOT NULL,
    year INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    facts BLOB NOT NULL,
    PRIMARY KEY (shard, idx)
);

CREATE TABLE data_key (
    shard INTEGER NOT NULL,
    patient BIGINT NOT NULL,
    year INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (shard, patient, year)
)
 WITHOUT ROWID;

CREATE TABLE patient (
    shard INTEGER NOT NULL,
    id BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    ins_hash BLOB NOT NULL,
    ins_sealed BLOB NOT NULL,
    PRIMARY KEY (shard, id)
)
 WITHOUT ROWID;

CREATE UNIQUE INDEX patient_by_ins ON patient (shard, ins_hash);

CREATE TABLE pairing (
    shard INTEGER NOT NULL,
    patient BIGINT NOT NULL,
    service VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    PRIMARY KEY (shard, patient, service)
)
 WITHOUT ROWID;

CREATE TABLE consent (
    shard INTEGER NOT NULL,
    patient BIGINT NOT NULL,
    service VARCHAR NOT NULL,
    id BIGINT NOT NULL,
    state VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    scope VARCHAR NOT NULL,
    start_ms BIGINT NOT NULL,
    end_ms BIGINT NOT NULL,
    notice_sha256 VARCHAR NOT NULL,
    actor_role VARCHAR NOT NULL,
    authentication VARCHAR NOT NULL,
    PRIMARY KEY (shard, patient, service, id)
)
 WITHOUT ROWID;

CREATE UNIQUE INDEX consent_by_id ON consent (shard, id);

CREATE TABLE revision (
    shard INTEGER NOT NULL,
    consent BIGINT NOT NULL,
    revision INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    idx BIGINT NOT NULL,
    PRIMARY KEY (shard, consent, revision)
)
 WITHOUT ROWID;

CREATE TABLE grant_request (
    shard INTEGER NOT NULL,
    patient BIGINT NOT NULL,
    request_id VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    consent BIGINT NOT NULL,
    PRIMARY KEY (shard, patient, request_id)
)
 WITHOUT ROWID;

CREATE TABLE authorization (
    shard INTEGER NOT NULL,
    idx BIGINT NOT NULL,
    exchange VARCHAR NOT NULL,
    patient BIGINT NOT NULL,
    service VARCHAR NOT NULL,
    counterparty VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    time_ms BIGINT NOT NULL,
    outcome_idx BIGINT,
    result VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    PRIMARY KEY (shard, idx)
)
 WITHOUT ROWID;

CREATE INDEX authorization_by_exchange ON authorization (shard, exchange);

CREATE INDEX authorization_by_outcome ON authorization (shard, outcome_idx, time_ms);
