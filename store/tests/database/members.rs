//! Who the members are, if the owner says so.

use std::{collections::BTreeSet, time::Duration};

use quorate_protocol::{UnixMillis, WriteOutcome};
use quorate_store::{Member, MigrateError, MigrateOptions, RecordQuery, migrate};
use tokio_postgres::error::SqlState;

use crate::support::{
    Database, LONG, RawRecord, certificate, connect, database, key, network, now, signer, store, write,
};

fn member(number: u8, validator: bool) -> Member {
    Member {
        address: key(number).address(),
        name: format!("node-{number}"),
        validator,
    }
}

fn members(numbers: &[u8]) -> Vec<Member> {
    numbers.iter().map(|&number| member(number, false)).collect()
}

fn sorted(mut members: Vec<Member>) -> Vec<Member> {
    members.sort();
    members
}

async fn list(database: &Database, members: Vec<Member>) {
    let options = MigrateOptions {
        members: Some(members),
        ..MigrateOptions::default()
    };
    migrate(&database.owner, options).await.unwrap();
}

#[tokio::test]
async fn the_list_is_replaced_as_a_whole_and_kept_when_nothing_is_said() {
    let database = database(LONG).await;
    let store = store(&database.node);
    assert_eq!(store.members().await, Ok(vec![]));
    let three = vec![member(1, true), member(2, false), member(3, false)];
    list(&database, three.clone()).await;
    assert_eq!(store.members().await, Ok(sorted(three.clone())));
    let migrated = migrate(&database.owner, MigrateOptions::default()).await.unwrap();
    assert_eq!(migrated.now.members, sorted(three));
    list(&database, members(&[2, 3, 4])).await;
    assert_eq!(store.members().await, Ok(sorted(members(&[2, 3, 4]))));
    // One that comes back is a member like any other.
    list(&database, members(&[1, 2, 3])).await;
    assert_eq!(store.members().await, Ok(sorted(members(&[1, 2, 3]))));
    list(&database, vec![]).await;
    assert_eq!(store.members().await, Ok(vec![]));
}

#[tokio::test]
async fn a_list_by_which_nothing_could_be_written_is_refused_and_nothing_changes() {
    let database = database(LONG).await;
    let refusal = async |members: Vec<Member>, min_validators: Option<usize>| {
        let options = MigrateOptions {
            members: Some(members),
            min_validators,
            write_interval: Some(Duration::from_secs(1)),
            ..MigrateOptions::default()
        };
        migrate(&database.owner, options).await.unwrap_err()
    };
    let few = refusal(members(&[1, 2]), None).await;
    assert!(
        matches!(
            few,
            MigrateError::TooFew {
                who: "members",
                listed: 2,
                required: 3
            }
        ),
        "{few}"
    );
    let few = refusal(vec![member(1, true), member(2, false), member(3, false)], Some(2)).await;
    assert!(
        matches!(
            few,
            MigrateError::TooFew {
                who: "validators",
                listed: 1,
                required: 2
            }
        ),
        "{few}"
    );
    let twice = refusal(members(&[1, 2, 3, 1]), None).await;
    assert!(matches!(twice, MigrateError::Refused { .. }), "{twice}");
    let settings = store(&database.node).settings().await.unwrap();
    assert_eq!((settings.write_interval, settings.min_validators), (LONG, 1));
    assert_eq!(store(&database.node).members().await, Ok(vec![]));
}

#[tokio::test]
async fn a_valid_signature_of_a_stranger_is_refused_where_members_are_listed() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    list(&database, members(&[1, 2, 3, 4])).await;
    assert_eq!(
        RawRecord::good(1)
            .signed_by(&[1, 2, 3, 5])
            .write(&node)
            .await
            .unwrap_err(),
        (
            SqlState::CHECK_VIOLATION,
            "eth_prices_signed_by_members".to_owned()
        )
    );
    let outcome = write(&store(&database.node), &certificate("3000", now(), &[5, 6, 7])).await;
    assert!(
        matches!(&outcome, WriteOutcome::Refused { reason } if reason.contains("is not among the members")),
        "{outcome:?}"
    );
    RawRecord::good(1)
        .signed_by(&[1, 2, 4])
        .write(&node)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_removed_member_counts_for_what_was_observed_before_for_one_window() {
    let database = database(LONG).await;
    let store = store(&database.node);
    list(&database, members(&[1, 2, 3, 4])).await;
    let before = certificate("3000", now(), &[1, 2, 4]);
    // The clock of this test may be a little behind the server's.
    tokio::time::sleep(Duration::from_millis(20)).await;
    list(&database, members(&[1, 2, 3])).await;
    let after = UnixMillis::new(now().get() + 1000);
    let outcome = write(&store, &certificate("3000", after, &[1, 2, 4])).await;
    assert!(matches!(outcome, WriteOutcome::Refused { .. }), "{outcome:?}");
    let outcome = write(&store, &before).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");

    // A window later: not any more.
    let owner = connect(&database.owner).await;
    owner
        .batch_execute(
            "DELETE FROM eth_prices;
             UPDATE quorate_members SET removed_at = removed_at - interval '3600 seconds' WHERE removed_at IS NOT NULL",
        )
        .await
        .unwrap();
    let long_before = UnixMillis::new(now().get() - 2 * 3_600_000);
    for observed_at in [long_before, now()] {
        let outcome = write(&store, &certificate("3000", observed_at, &[1, 2, 4])).await;
        assert!(matches!(outcome, WriteOutcome::Refused { .. }), "{outcome:?}");
    }
    let outcome = write(&store, &certificate("3000", now(), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_record_needs_as_many_validators_as_the_owner_says() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let options = MigrateOptions {
        members: Some(vec![
            member(1, false),
            member(2, true),
            member(3, true),
            member(4, false),
        ]),
        min_validators: Some(2),
        ..MigrateOptions::default()
    };
    let migrated = migrate(&database.owner, options).await.unwrap();
    assert_eq!(migrated.now.settings.min_validators, 2);
    let outcome = write(&store, &certificate("3000", now(), &[1, 2, 4])).await;
    assert!(
        matches!(&outcome, WriteOutcome::Refused { reason }
            if reason.contains("has signatures of 1 validators, 2 are required")
                && reason.contains("eth_prices_min_validators")),
        "{outcome:?}"
    );
    let outcome = write(&store, &certificate("3000", now(), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn who_is_a_validator_is_the_lists_word_and_not_the_writers() {
    let database = database(LONG).await;
    let store = store(&database.node);
    list(
        &database,
        vec![member(1, false), member(2, false), member(3, true)],
    )
    .await;
    let certificate = certificate("3000", now(), &[1, 2, 3]);
    let lie: BTreeSet<_> = [1, 2].map(|number| key(number).address()).into();
    store.write(&certificate, key(1).address(), network(), &lie).await;
    let records = store.records(RecordQuery::default()).await.unwrap();
    assert_eq!(records[0].validators, BTreeSet::from([key(3).address()]));
    let owner = connect(&database.owner).await;
    let row = owner
        .query_one("SELECT validators FROM eth_prices_hex", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, Vec<String>>(0), [signer(3)]);
}

#[tokio::test]
async fn a_record_without_validators_shows_an_empty_list() {
    let database = database(LONG).await;
    write(&store(&database.node), &certificate("3000", now(), &[1, 2, 3])).await;
    let owner = connect(&database.owner).await;
    let row = owner
        .query_one("SELECT validators FROM eth_prices_hex", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, Vec<String>>(0), [""; 0]);
}

#[tokio::test]
async fn a_member_is_an_address_once_in_any_letter_case() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    let insert = |address: &str, name: &str| {
        format!("INSERT INTO quorate_members (address, name) VALUES ('{address}', '{name}')")
    };
    owner.batch_execute(&insert(&signer(1), "one")).await.unwrap();
    for wrong in [
        insert(&signer(1).to_lowercase(), "one again"),
        insert("0x12", "two"),
        insert(&signer(2), &"x".repeat(65)),
        insert(&signer(2), "two\nlines"),
    ] {
        assert!(owner.batch_execute(&wrong).await.is_err(), "{wrong}");
    }
}
