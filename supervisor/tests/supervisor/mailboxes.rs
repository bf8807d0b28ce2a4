use actix::prelude::{Addr, SendError};
use quorate_supervisor::{ActorSpec, Mailbox, Reserved, Supervisor};

use crate::subject::{Diary, Do, Subject, act, eventually, in_paused_time, status, supervisor};

fn reserve_three(supervisor: &Supervisor) -> (Reserved<Subject>, Mailbox<Do>) {
    let reserved = supervisor.reserve(ActorSpec::new("Subject").mailbox(3)).unwrap();
    let mailbox = reserved.mailbox();
    (reserved, mailbox)
}

fn run(reserved: Reserved<Subject>) -> (Diary, Addr<Subject>) {
    let diary = Diary::default();
    let subject = Subject::new(&diary);
    (diary, reserved.run_here(move |_| subject))
}

fn note(text: &'static str) -> Do {
    act(move |subject, _| subject.diary.note(text))
}

/// How many messages it takes.
fn fill(mailbox: &Mailbox<Do>) -> usize {
    (0..20).filter(|_| mailbox.try_send(note("note")).is_ok()).count()
}

#[test]
fn a_full_mailbox_refuses_and_is_full_again_after_a_restart() {
    in_paused_time(async {
        let supervisor = supervisor();
        let (reserved, mailbox) = reserve_three(&supervisor);
        assert_eq!(fill(&mailbox), 3, "before the actor runs");
        let (diary, _addr) = run(reserved);
        eventually("the mail", || diary.count("note") == 3).await;
        mailbox.try_send(act(|_, _| panic!("now"))).unwrap();
        eventually("the failure", || {
            status(&supervisor, "Subject").phase.label() == "backing_off"
        })
        .await;
        assert_eq!(fill(&mailbox), 3, "while it backs off");
        eventually("the mail", || diary.count("note") == 6).await;
    });
}

#[test]
fn clones_of_a_mailbox_have_no_room_of_their_own() {
    in_paused_time(async {
        let supervisor = supervisor();
        let (_reserved, mailbox) = reserve_three(&supervisor);
        let accepted = (0..20).filter(|_| mailbox.clone().try_send(note("note")).is_ok());
        assert_eq!(accepted.count(), 3);
    });
}

#[test]
fn what_waits_in_a_mailbox_and_what_did_not_fit_is_counted() {
    in_paused_time(async {
        let supervisor = supervisor();
        let (reserved, mailbox) = reserve_three(&supervisor);
        let counted = || {
            let status = status(&supervisor, "Subject");
            (status.messages, status.waiting, status.dropped)
        };
        fill(&mailbox);
        assert_eq!(counted(), (0, 3, 17));
        assert!(!mailbox.send_or_log("one more", note("note")));
        assert_eq!(counted(), (0, 3, 18));
        let (diary, _addr) = run(reserved);
        eventually("the mail", || diary.count("note") == 3).await;
        assert_eq!(counted(), (3, 0, 18));
        assert!(mailbox.send_or_log("one more", note("note")));
    });
}

#[test]
fn what_must_not_be_dropped_waits_for_room() {
    in_paused_time(async {
        let supervisor = supervisor();
        let (reserved, mailbox) = reserve_three(&supervisor);
        fill(&mailbox);
        let another = mailbox.clone();
        let sent = actix::spawn(async move {
            for text in ["fourth", "fifth"] {
                another.send(note(text)).await.map_err(|_| text)?;
            }
            Ok::<_, &str>(())
        });
        tokio::task::yield_now().await;
        assert!(!sent.is_finished());
        let (diary, _addr) = run(reserved);
        assert_eq!(sent.await.unwrap(), Ok(()));
        eventually("the mail", || diary.has("fifth")).await;
        assert_eq!(diary.events()[1..], ["note", "note", "note", "fourth", "fifth"]);
    });
}

#[test]
fn the_mailbox_of_an_actor_that_has_stopped_for_good_gives_the_message_back() {
    in_paused_time(async {
        let supervisor = supervisor();
        let (reserved, mailbox) = reserve_three(&supervisor);
        drop(reserved);
        assert!(matches!(
            mailbox.try_send(note("lost")),
            Err(SendError::Closed(_))
        ));
        assert!(mailbox.send(note("lost")).await.is_err());
        assert_eq!(status(&supervisor, "Subject").dropped, 0);
    });
}
