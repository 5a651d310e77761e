use super::*;

mod memory;

use serde_json::{Value, json};

use crate::audit::{ApprovalOutcome, AuditSettings, FileSettings, OnFailure, SinkSettings};
use crate::id::{RequestId, TraceId};
use crate::random::SeededRandom;
use crate::time::{FixedClock, NeverBack};

use memory::Memory;

const ISSUER: &str = "https://broker.example";

struct Bench {
    approvals: Approvals,
    clock: Arc<FixedClock>,
    store: Arc<Memory>,
    log: tempfile::TempDir,
}

fn bench() -> Bench {
    let log = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
    let store = Arc::new(Memory::default());
    let sink = SinkSettings::File(FileSettings {
        path: log.path().join("audit.jsonl"),
        rotate_bytes: 1 << 20,
        keep: None,
        max_total_bytes: None,
        durable: true,
        hash_chain: false,
    });
    let settings = AuditSettings {
        queue_length: 64,
        on_failure: OnFailure::Deny,
        limit: Duration::from_secs(5),
        sinks: vec![sink],
        service: "test".into(),
        environment: "dev",
    };
    let auditor =
        Auditor::open(settings, Arc::clone(&clock) as _, Arc::new(SeededRandom::new(1))).unwrap();
    let approvals = Approvals {
        store: Arc::clone(&store) as _,
        clock: Arc::new(NeverBack::new(Arc::clone(&clock) as _)),
        random: Arc::new(SeededRandom::new(2)),
        auditor,
        seal: Arc::new(|_| "sealed".to_owned()),
        open: Arc::new(|_| None),
        pages: "https://broker.example/approvals".to_owned(),
        notices: None,
        rules: Arc::new(|| Some("7".into())),
    };
    Bench { approvals, clock, store, log }
}

fn context() -> Context {
    let (clock, random) = (FixedClock::at(Timestamp::default()), SeededRandom::new(3));
    Context {
        request_id: RequestId::generate(&clock, &random),
        trace_id: TraceId::generate(&random),
        requester_id: None,
        client_id: None,
        asserted_requester_id: None,
        redactions: Vec::new(),
    }
}

fn requester() -> Requester {
    Requester {
        issuer: ISSUER.parse().unwrap(),
        subject: "ada".parse().unwrap(),
        client_id: "agent".parse().ok(),
        asserted: None,
    }
}

fn question(arguments: &Value) -> Question {
    Question {
        requester: requester(),
        tool: "auth.graph.operation.execute.v1".parse().unwrap(),
        call: Exactly::Arguments(arguments.to_string()),
        terms: Terms {
            rule: "graph.delete".parse().unwrap(),
            policy_version: "7".into(),
            approvers: vec!["it-leads".to_owned()],
            self_approval: false,
            valid_for: Duration::from_mins(10),
        },
        request_state: None,
    }
}

fn person(name: &str) -> Approver {
    Approver {
        name: name.parse().unwrap(),
        identities: vec![(ISSUER.parse().unwrap(), name.parse().unwrap())],
        known_as: vec![format!("{name}@contoso.example")],
        groups: vec!["it-leads".to_owned()],
        administrator: false,
        through: Through::Themselves,
    }
}

impl Bench {
    async fn settle(&self, question: &Question) -> Standing {
        self.approvals.settle(&context(), question).await.unwrap()
    }

    /// Asks, and answers as `who`.
    async fn answered(
        &self,
        question: &Question,
        who: &Approver,
        approved: bool,
    ) -> ApprovalOutcome {
        let Standing::Wait { id, .. } = self.settle(question).await else { panic!("no question") };
        let answer = Answer { approved, comment: None };
        self.approvals.answer(&context(), id, who, answer).await.unwrap().unwrap()
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.log.path().join("audit.jsonl")).unwrap()
    }
}

fn delete() -> Value {
    json!({ "operation": { "method": "DELETE", "path": "/v1.0/groups/1/members/2/$ref" } })
}

fn approved(standing: &Standing) -> bool {
    matches!(standing, Standing::Approve { .. })
}

#[tokio::test]
async fn an_approved_call_goes_through_once() {
    let (bench, call) = (bench(), delete());
    assert_eq!(
        bench.answered(&question(&call), &person("lead"), true).await,
        ApprovalOutcome::Approved
    );
    assert!(approved(&bench.settle(&question(&call)).await));
    assert!(!approved(&bench.settle(&question(&call)).await), "single use");
    let log = bench.audit();
    for event in ["approval.requested", "approval.answered", "approval.used"] {
        assert!(log.contains(event), "{log}");
    }
}

#[tokio::test]
async fn a_call_that_waits_is_asked_about_once() {
    let (bench, call) = (bench(), delete());
    let first = bench.settle(&question(&call)).await;
    assert_eq!(bench.settle(&question(&call)).await, first);
    assert_eq!(bench.store.0.lock().unwrap().len(), 1);
}

/// RS-33: bound to the exact call, its caller, the rule and the policy.
#[tokio::test]
async fn an_approval_fits_no_other_call() {
    let (bench, call) = (bench(), delete());
    bench.answered(&question(&call), &person("lead"), true).await;
    let other =
        json!({ "operation": { "method": "DELETE", "path": "/v1.0/groups/1/members/3/$ref" } });
    let mut altered = vec![question(&other)];
    altered.extend((0..7).map(|_| question(&call)));
    altered[1].requester.subject = "eve".parse().unwrap();
    altered[2].requester.client_id = "other".parse().ok();
    altered[3].requester.client_id = None;
    altered[4].requester.issuer = "https://other.example".parse().unwrap();
    altered[5].requester.asserted = "bob".parse().ok();
    altered[6].terms.policy_version = "8".into();
    altered[7].terms.rule = "graph.other".parse().unwrap();
    for (place, question) in altered.iter().enumerate() {
        assert!(!approved(&bench.settle(question).await), "{place}");
    }
    assert!(approved(&bench.settle(&question(&call)).await));
}

#[tokio::test]
async fn order_of_members_request_id_and_timeout_do_not_make_another_call() {
    let bench = bench();
    let call = json!({ "b": { "y": [1, { "q": 1, "p": 2 }], "x": 1 }, "a": 1, "request_id": "1" });
    let again = json!({ "timeout_ms": 5, "a": 1, "b": { "x": 1, "y": [1, { "p": 2, "q": 1 }] } });
    let shuffled = json!({ "a": 1, "b": { "x": 1, "y": [{ "p": 2, "q": 1 }, 1] } });
    let nested = json!({ "a": 1, "b": { "x": 1, "y": [1, { "p": 2, "q": 1 }], "timeout_ms": 1 } });
    bench.answered(&question(&call), &person("lead"), true).await;
    assert!(!approved(&bench.settle(&question(&shuffled)).await));
    assert!(!approved(&bench.settle(&question(&nested)).await));
    assert!(approved(&bench.settle(&question(&again)).await));
}

#[tokio::test]
async fn of_another_tool_every_argument_is_bound() {
    let bench = bench();
    let of_other = |arguments| Question { tool: "pay".parse().unwrap(), ..question(arguments) };
    let (call, altered) = (json!({ "request_id": "1" }), json!({ "request_id": "2" }));
    bench.answered(&of_other(&call), &person("lead"), true).await;
    assert!(!approved(&bench.settle(&of_other(&altered)).await));
    assert!(approved(&bench.settle(&of_other(&call)).await));
}

#[tokio::test]
async fn nobody_approves_a_call_of_their_own() {
    let (bench, call) = (bench(), delete());
    let mut ada = person("ada-local");
    ada.identities.push((ISSUER.parse().unwrap(), "ada".parse().unwrap()));
    assert_eq!(bench.answered(&question(&call), &ada, true).await, ApprovalOutcome::OwnCall);
    assert!(!approved(&bench.settle(&question(&call)).await));
    let mut asserted = question(&call);
    asserted.requester.subject = "gateway".parse().unwrap();
    asserted.requester.asserted = "ada".parse().ok();
    assert_eq!(bench.answered(&asserted, &ada, true).await, ApprovalOutcome::OwnCall);
    assert!(bench.audit().contains("own_call"));
    let mut unknown = person("lead");
    unknown.identities = vec![("https://other.example".parse().unwrap(), "lead".parse().unwrap())];
    let outcome = bench.answered(&question(&call), &unknown, true).await;
    assert_eq!(outcome, ApprovalOutcome::MayBeOwnCall);
}

#[tokio::test]
async fn a_rule_may_let_people_approve_their_own_calls() {
    let (bench, call) = (bench(), delete());
    let mut question = question(&call);
    question.terms.self_approval = true;
    assert_eq!(bench.answered(&question, &person("ada"), true).await, ApprovalOutcome::Approved);
}

// An agent that holds a person's token is not that person looking at the call.
#[tokio::test]
async fn an_app_answers_neither_what_it_asked_nor_for_who_asked() {
    let (bench, call) = (bench(), delete());
    let mut question = question(&call);
    question.terms.self_approval = true;
    let by = |name: &str, app: Option<&str>| Approver {
        through: Through::App(app.map(|app| app.parse().unwrap())),
        ..person(name)
    };
    for who in [by("ada", Some("console")), by("lead", Some("agent")), by("lead", None)] {
        let outcome = bench.answered(&question, &who, true).await;
        assert_eq!(outcome, ApprovalOutcome::OwnCall, "{who:?}");
    }
    // Of somebody who may not know of the call nothing is said, whichever app holds their token.
    let outsider = Approver { groups: vec!["staff".to_owned()], ..by("olga", Some("agent")) };
    let outcome = bench.answered(&question, &outsider, true).await;
    assert_eq!(outcome, ApprovalOutcome::NotAnApprover);
    let lead = by("lead", Some("console"));
    assert_eq!(bench.answered(&question, &lead, true).await, ApprovalOutcome::Approved);
}

#[tokio::test]
async fn only_approvers_answer_also_with_no() {
    let (bench, call) = (bench(), delete());
    let outsider = Approver { groups: vec!["sales".to_owned()], ..person("bob") };
    let administrator = Approver { administrator: true, ..outsider.clone() };
    for (who, approved) in [(&outsider, true), (&outsider, false), (&administrator, true)] {
        let outcome = bench.answered(&question(&call), who, approved).await;
        assert_eq!(outcome, ApprovalOutcome::NotAnApprover);
    }
    // Nor is who logs in elsewhere shown anything because nobody knows whether they asked.
    let elsewhere = ("https://other.example".parse().unwrap(), "bob".parse().unwrap());
    let stranger = Approver { identities: vec![elsewhere], ..outsider.clone() };
    let outcome = bench.answered(&question(&call), &stranger, false).await;
    assert_eq!(outcome, ApprovalOutcome::NotAnApprover);
    let mut question = question(&call);
    question.terms.approvers.clear();
    question.terms.rule = "graph.any".parse().unwrap();
    assert_eq!(bench.answered(&question, &outsider, true).await, ApprovalOutcome::NotAnApprover);
    assert_eq!(bench.answered(&question, &administrator, true).await, ApprovalOutcome::Approved);
}

#[tokio::test]
async fn late_is_no_and_so_is_late_use() {
    let (bench, call) = (bench(), delete());
    bench.answered(&question(&call), &person("lead"), true).await;
    bench.clock.advance(Duration::from_mins(10));
    let Standing::Wait { id, .. } = bench.settle(&question(&call)).await else { panic!("used") };
    bench.clock.advance(Duration::from_mins(10));
    let answer = Answer { approved: true, comment: None };
    let outcome = bench.approvals.answer(&context(), id, &person("lead"), answer).await.unwrap();
    assert_eq!(outcome, Some(ApprovalOutcome::TooLate));
}

// Nobody wins a deadline back by setting the clock.
#[tokio::test]
async fn a_step_of_the_clock_opens_no_approval_that_is_late() {
    let (bench, call) = (bench(), delete());
    bench.answered(&question(&call), &person("lead"), true).await;
    bench.clock.advance(Duration::from_mins(11));
    bench.clock.step_wall(Timestamp::from_unix_seconds(1_001));
    assert!(!approved(&bench.settle(&question(&call)).await), "back");
    let other = json!({ "number": 2 });
    bench.answered(&question(&other), &person("lead"), true).await;
    bench.clock.step_wall(Timestamp::from_unix_seconds(90_000));
    assert!(!approved(&bench.settle(&question(&other)).await), "forward");
}

#[tokio::test]
async fn a_denial_stands_until_the_deadline() {
    let (bench, call) = (bench(), delete());
    bench.answered(&question(&call), &person("lead"), false).await;
    assert!(matches!(bench.settle(&question(&call)).await, Standing::Deny { .. }));
    assert!(bench.audit().contains("\"class\":\"denied\""));
    bench.clock.advance(Duration::from_mins(10));
    assert!(matches!(bench.settle(&question(&call)).await, Standing::Wait { .. }));
}

// Whoever watches the log can tell a replay from an altered state.
#[tokio::test]
async fn a_request_state_that_is_refused_says_why() {
    let mut bench = bench();
    bench.approvals.seal = Arc::new(str::to_owned);
    bench.approvals.open = Arc::new(|text| Some(text.to_owned()));
    let call = delete();
    let Standing::Wait { id, .. } = bench.settle(&question(&call)).await else { panic!() };
    let back = Question { request_state: bench.approvals.request_state(id), ..question(&call) };
    let mut other_rules = back.clone();
    other_rules.terms.policy_version = "8".into();
    assert_eq!(bench.settle(&other_rules).await, Standing::Another);
    bench.clock.advance(Duration::from_mins(10));
    assert_eq!(bench.settle(&back).await, Standing::Another);
    for class in ["another_policy", "too_late"] {
        assert!(bench.audit().contains(&format!("\"class\":\"{class}\"")), "{class}");
    }
}

#[tokio::test]
async fn of_two_answers_the_first_counts() {
    let (bench, call) = (bench(), delete());
    let Standing::Wait { id, .. } = bench.settle(&question(&call)).await else { panic!() };
    let say = |approved| Answer { approved, comment: None };
    let (one, two) = (person("lead"), person("second"));
    bench.approvals.answer(&context(), id, &one, say(false)).await.unwrap();
    let outcome = bench.approvals.answer(&context(), id, &two, say(true)).await.unwrap();
    assert_eq!(outcome, Some(ApprovalOutcome::TooLate));
    assert!(!approved(&bench.settle(&question(&call)).await));
}

#[tokio::test]
async fn a_requester_cannot_flood_the_approvers() {
    let bench = bench();
    for number in 0..MOST_PENDING {
        let call = json!({ "number": number });
        assert!(matches!(bench.settle(&question(&call)).await, Standing::Wait { .. }));
    }
    let one_more = json!({ "number": "more" });
    assert_eq!(bench.settle(&question(&one_more)).await, Standing::TooMany);
    assert!(bench.audit().contains("\"too_many_wait\""), "{}", bench.audit());
}

#[tokio::test]
async fn no_argument_reaches_the_audit_log() {
    let (bench, call) = (bench(), json!({ "body": "CANARY-4711" }));
    bench.answered(&question(&call), &person("lead"), true).await;
    bench.settle(&question(&call)).await;
    assert!(!bench.audit().contains("CANARY"));
    assert_eq!(bench.store.0.lock().unwrap()[0].sealed_arguments, "sealed");
}

/// Number by number, and whatever a server is told beside the arguments.
#[tokio::test]
async fn an_approval_is_good_for_what_is_sent_and_for_nothing_that_reads_alike() {
    let bench = bench();
    let of =
        |call: Exactly| Question { tool: "bank.pay".parse().unwrap(), call, ..question(&json!(0)) };
    let arguments = |text: &str| of(Exactly::Arguments(text.to_owned()));
    let parameters = |text: &str| of(Exactly::Parameters(text.to_owned()));
    let asked = arguments(r#"{"account":123456789012345678901}"#);
    bench.answered(&asked, &person("lead"), true).await;
    assert!(!approved(&bench.settle(&arguments(r#"{"account":123456789012345678902}"#)).await));
    assert!(!approved(&bench.settle(&parameters(r#"{"account":123456789012345678901}"#)).await));
    assert!(approved(&bench.settle(&asked).await));
}

/// The rules were replaced while it waited: whoever answers is told so, instead of that the call goes through.
#[tokio::test]
async fn an_answer_to_a_question_under_other_rules_is_none() {
    let bench = bench();
    let mut old = question(&delete());
    old.terms.policy_version = "6".into();
    for approved in [true, false] {
        let outcome = bench.answered(&old, &person("lead"), approved).await;
        assert_eq!(outcome, ApprovalOutcome::AnotherPolicy);
    }
    assert!(bench.audit().contains(r#""outcome":"another_policy""#), "{}", bench.audit());
    let row = bench.store.0.lock().unwrap()[0].clone();
    assert!(bench.approvals.is_of_other_rules(&row));
    assert_eq!(row.state, ApprovalState::Pending);
}

/// Each deploy of rules would take the places of who asked before it.
#[tokio::test]
async fn questions_under_other_rules_take_no_places() {
    let bench = bench();
    for number in 0..MOST_PENDING {
        let mut old = question(&json!({ "n": number }));
        old.terms.policy_version = "6".into();
        assert!(matches!(bench.settle(&old).await, Standing::Wait { .. }));
    }
    assert!(matches!(bench.settle(&question(&delete())).await, Standing::Wait { .. }));
}
