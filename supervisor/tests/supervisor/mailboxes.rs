use actix::prelude::*;
use quorate_supervisor::{ActorSpec, Supervisor};

use crate::subject::{Diary, Say, Subject, act, eventually, in_paused_time, status, supervisor};

#[test]
fn a_full_mailbox_refuses_and_is_full_again_after_a_restart() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let reserved = supervisor.reserve(ActorSpec::new("Subject").mailbox(3)).unwrap();
        let addr = reserved.address();
        let accepted = |addr: &Addr<Subject>| (0..20).filter(|_| addr.try_send(Say(1)).is_ok()).count();
        assert_eq!(accepted(&addr), 3, "before the actor runs");
        let subject = Subject::new(&diary);
        reserved.run_here(move |_| subject);
        eventually("the mail", || diary.count("said 1") == 3).await;
        addr.do_send(act(|_, ctx| ctx.stop()));
        eventually("the failure", || {
            status(&supervisor, "Subject").phase.label() == "backing_off"
        })
        .await;
        assert_eq!(accepted(&addr), 3, "while it backs off");
        eventually("the mail", || diary.count("said 1") == 6).await;
    });
}

#[test]
fn what_waits_in_a_mailbox_and_what_did_not_fit_is_counted() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let reserved = supervisor.reserve(ActorSpec::new("Subject").mailbox(3)).unwrap();
        let say = reserved.mailbox().sink::<Say>();
        for _ in 0..20 {
            let _full = say.try_send(Say(1));
        }
        let counted = |supervisor: &Supervisor| {
            let status = status(supervisor, "Subject");
            (status.messages, status.waiting, status.dropped)
        };
        assert_eq!(counted(&supervisor), (0, 3, 17));
        let subject = Subject::new(&diary);
        reserved.run_here(move |_| subject);
        eventually("the mail", || diary.count("said 1") == 3).await;
        assert_eq!(counted(&supervisor), (3, 0, 17));
    });
}
