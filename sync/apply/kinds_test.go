package apply_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// kind is one kind of action: a world in which it is due, and what the world shows.
type kind struct {
	name      string
	service   string // "iam", "eks", or "" for Kubernetes
	operation string // of the write; the verb for Kubernetes
	due       func(w *world) plan.Step
	state     func(w *world) string // what the action writes, as it truly stands
	meant     func(w *world) string // what state is to be after it
	itself    bool                  // reads back by the writer's own client
}

func annotationOf(key string) func(w *world) string {
	return func(w *world) string { return w.serviceAccount().Annotations[key] }
}

func constant(s string) func(*world) string { return func(*world) string { return s } }

func digest(t *testing.T, text string) string {
	t.Helper()
	doc, err := trust.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Digest()
}

// edited is a trust policy with subjects' IRSA statements added.
func edited(t *testing.T, text string, subjects ...identity.Subject) string {
	t.Helper()
	doc, err := trust.Parse(text)
	for _, s := range subjects {
		var edit trust.Edit
		if err == nil {
			edit, err = doc.Add(irsaGrant(s), 2048)
			doc = edit.Document
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc.Text()
}

func roleOf(w *world) string {
	a, _ := w.association()
	return a.RoleARN
}

func kinds(t *testing.T) []kind {
	trustState := func(w *world) string { return w.trust(oldRole) }
	withOurs := edited(t, foreignTrust, subject)
	withTheirs := strings.Replace(withOurs, irsaGrant(subject).Sid(), "Theirs", 1)
	withoutTheirs := strings.NewReplacer(` : {`, ` : [{`, `sts:AssumeRole" }`, `sts:AssumeRole" }]`).Replace(foreignTrust) // a list by now
	seedAssociation := func(w *world) string {
		a, err := w.aws.PutAssociation(awsd.Association{Cluster: cluster.ARN(), Namespace: "demo", ServiceAccount: "reader", RoleARN: oldRole, Tags: marks})
		w.must(err)
		return a.ID
	}
	return []kind{
		{"put-trust-statement", "iam", "UpdateAssumeRolePolicy", func(w *world) plan.Step {
			w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: foreignTrust}))
			return plan.Step{Subject: subject, Plane: diff.PlaneTrust, Effect: plan.Widen,
				Action: plan.PutTrustStatement{Role: arn(oldRole), Grant: irsaGrant(subject), Quota: 2048},
				Guards: []plan.Guard{plan.TrustIs{Role: arn(oldRole), Digest: digest(w.t, foreignTrust)}}}
		}, trustState, constant(withOurs), true},

		{"drop-trust-statement", "iam", "UpdateAssumeRolePolicy", func(w *world) plan.Step {
			w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: withOurs}))
			return plan.Step{Subject: subject, Plane: diff.PlaneTrust, Effect: plan.Narrow,
				Action: plan.DropTrustStatement{Role: arn(oldRole), Sid: irsaGrant(subject).Sid()},
				Guards: []plan.Guard{plan.TrustIs{Role: arn(oldRole), Digest: digest(w.t, withOurs)}, plan.Unused{Subject: subject, Mechanism: identity.IRSA, Role: arn(oldRole)}}}
		}, trustState, constant(foreignTrust), true},

		{"set-annotation", "", "patch", func(w *world) plan.Step {
			uid := w.account(map[string]string{"example.com/note": "kept"})
			return plan.Step{Subject: subject, Plane: diff.PlaneServiceAccount, Effect: plan.Cross,
				Action: plan.SetAnnotation{UID: uid, Key: diff.AnnotationRole, Value: newRole},
				Guards: []plan.Guard{plan.AnnotationIs{Subject: subject, UID: uid, Key: diff.AnnotationRole}, plan.AssociationIs{Subject: subject}}}
		}, annotationOf(diff.AnnotationRole), constant(newRole), false},

		{"drop-annotation", "", "patch", func(w *world) plan.Step {
			uid := w.account(map[string]string{"example.com/note": "kept", diff.AnnotationRole: oldRole})
			return plan.Step{Subject: subject, Plane: diff.PlaneServiceAccount, Effect: plan.Narrow,
				Action: plan.DropAnnotation{UID: uid, Key: diff.AnnotationRole, Old: oldRole},
				Guards: []plan.Guard{plan.AnnotationIs{Subject: subject, UID: uid, Key: diff.AnnotationRole, Value: oldRole}}}
		}, annotationOf(diff.AnnotationRole), constant(""), false},

		{"create-association", "eks", "CreatePodIdentityAssociation", func(*world) plan.Step {
			return plan.Step{Subject: subject, Plane: diff.PlaneAssociation, Effect: plan.Cross,
				Action: plan.CreateAssociation{Role: arn(oldRole), Tags: marks},
				Guards: []plan.Guard{plan.AssociationIs{Subject: subject}}}
		}, roleOf, constant(oldRole), false},

		{"update-association", "eks", "UpdatePodIdentityAssociation", func(w *world) plan.Step {
			id := seedAssociation(w)
			return plan.Step{Subject: subject, Plane: diff.PlaneAssociation, Effect: plan.Cross,
				Action: plan.UpdateAssociation{ID: id, Role: arn(newRole)},
				Guards: []plan.Guard{plan.AssociationIs{Subject: subject, ID: id, Role: arn(oldRole)}}}
		}, roleOf, constant(newRole), false},

		{"delete-association", "eks", "DeletePodIdentityAssociation", func(w *world) plan.Step {
			id := seedAssociation(w)
			return plan.Step{Subject: subject, Plane: diff.PlaneAssociation, Effect: plan.Narrow,
				Action: plan.DeleteAssociation{ID: id},
				Guards: []plan.Guard{plan.AssociationIs{Subject: subject, ID: id, Role: arn(oldRole)}, plan.Unused{Subject: subject, Templates: true}}}
		}, roleOf, constant(""), false},

		{"revoke-trust", "iam", "UpdateAssumeRolePolicy", func(w *world) plan.Step {
			w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: withTheirs}))
			return plan.Step{Subject: subject, Plane: diff.PlaneTrust, Effect: plan.Narrow,
				Action: plan.RevokeTrust{Role: arn(oldRole), Request: irsaRequest(subject)},
				Guards: []plan.Guard{plan.TrustIs{Role: arn(oldRole), Digest: digest(w.t, withTheirs)}, plan.Unused{Subject: subject, Mechanism: identity.IRSA, Role: arn(oldRole)}}}
		}, trustState, constant(withoutTheirs), true},

		{"evict-pod", "", "create", func(w *world) plan.Step {
			uid := w.pod("web-1")
			return plan.Step{Subject: subject, Plane: diff.PlanePods, Effect: plan.Cross,
				Action: plan.EvictPod{Pod: "web-1", UID: uid},
				Guards: []plan.Guard{plan.PodIs{Subject: subject, Pod: "web-1", UID: uid}}}
		}, func(w *world) string { return w.running("web-1") }, constant(""), false},

		{"restart-workload", "", "patch", func(w *world) plan.Step {
			uid := w.workload(webDeployment())
			return plan.Step{Subject: subject, Plane: diff.PlanePods, Effect: plan.Cross,
				Action: plan.RestartWorkload{Workload: web, UID: uid},
				Guards: []plan.Guard{plan.WorkloadIs{Subject: subject, Workload: web, UID: uid, Idle: true}}}
		}, func(w *world) string { return w.deployment().Spec.Template.Annotations[live.RestartedAtAnnotation] },
			func(w *world) string { return w.clock.Now().Format(time.RFC3339) }, true},

		{"pause-rollout", "", "patch", func(w *world) plan.Step {
			uid := w.workload(webDeployment())
			return plan.Step{Subject: subject, Plane: diff.PlanePods, Effect: plan.Cross,
				Action: plan.PauseRollout{Workload: web, UID: uid, Why: "why"},
				Guards: []plan.Guard{plan.WorkloadIs{Subject: subject, Workload: web, UID: uid}}}
		}, pauseOf, constant(`"paused":true`), true},

		{"resume-rollout", "", "patch", func(w *world) plan.Step {
			d := webDeployment()
			d.Spec.Paused = true
			d.Annotations = map[string]string{live.RolloutPausedMark: ourMark, "example.com/note": "kept"}
			uid := w.workload(d)
			return plan.Step{Subject: subject, Plane: diff.PlanePods, Effect: plan.Cross,
				Action: plan.ResumeRollout{Workload: web, UID: uid},
				Guards: []plan.Guard{plan.WorkloadIs{Subject: subject, Workload: web, UID: uid}}}
		}, pauseOf, constant(""), true},
	}
}

// ourMark is as lanyard writes it.
const ourMark = `{"why":"why","at":"2026-11-23T09:00:00Z","fields":[{"path":"spec.paused","was":null,"set":true}]}`

// pauseOf is a paused Deployment in the words of the record; with a mark, it is lanyard's.
func pauseOf(w *world) string {
	d := w.deployment()
	if !d.Spec.Paused || !strings.Contains(d.Annotations[live.RolloutPausedMark], `"why":"why"`) {
		return ""
	}
	return `"paused":true`
}

// irsaRequest is what a subject's pods ask STS.
func irsaRequest(s identity.Subject) trust.Request {
	return trust.Request{Mechanism: identity.IRSA, Subject: s, Cluster: cluster, Provider: cluster.Issuer.ProviderARN("aws", account), Audience: diff.DefaultAudience}
}

// eachKind runs f in a world of its own for every kind of action.
func eachKind(t *testing.T, f func(t *testing.T, w *world, k kind, s plan.Step)) {
	t.Parallel()
	for _, k := range kinds(t) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f(t, w, k, k.due(w))
		})
	}
}

// want checks an outcome, the truth, and how many writes were sent.
func (w *world) want(o report.Outcome, result report.Result, class remedy.Class, k kind, state string, mutations int) {
	w.t.Helper()
	if o.Result != result || o.Remedy != class || (o.Err == nil) != (class == remedy.None) {
		w.t.Errorf("%s: got %s, %s, error %v; want %s, %s", o.Step.Action, o.Result, o.Remedy, o.Err, result, class)
	}
	if got := k.state(w); got != state {
		w.t.Errorf("%s: it stands as\n got %q\nwant %q", o.Step.Action, got, state)
	}
	if got := w.mutations(); got != mutations {
		w.t.Errorf("%s: got %d writes on the wire, want %d", o.Step.Action, got, mutations)
	}
	if got := int(w.wrote.Load()); got != mutations {
		w.t.Errorf("%s: Wrote was told %d times, want %d", o.Step.Action, got, mutations)
	}
}

func TestDone(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		before := k.state(w)
		var started []plan.Step
		w.options.Started = func(s plan.Step) { started = append(started, s) }
		o := w.apply(s)[0]
		w.want(o, report.Done, remedy.None, k, k.meant(w), 1)
		if o.Before == o.After || !strings.Contains(o.Before, before) || !strings.Contains(o.After, k.meant(w)) {
			t.Errorf("audit trail: got before %q, after %q; want them to hold %q and %q", o.Before, o.After, before, k.meant(w))
		}
		if len(started) != 1 || !o.At.Equal(w.clock.Now()) {
			t.Errorf("got %d steps started, at %s; want 1 at %s", len(started), o.At, w.clock.Now())
		}
		var line map[string]any
		if err := json.Unmarshal(w.log.Bytes(), &line); err != nil {
			t.Fatalf("log is not one line: %v\n%s", err, w.log.String())
		}
		for key, want := range map[string]string{"subject": "demo/reader", "step": s.ID(), "action": s.Action.String(), "effect": s.Effect.String(),
			"result": "done", "remedy": "none", "before": o.Before, "after": o.After} {
			if line[key] != want {
				t.Errorf("log %s: got %v, want %q", key, line[key], want)
			}
		}
	})
}

func TestSecondTimeWritesNothing(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		w.apply(s)
		again := s
		again.Guards = nil
		o := w.apply(again)[0]
		w.want(o, report.Done, remedy.None, k, k.meant(w), 1)
		if o.Before != o.After {
			t.Errorf("got before %q, after %q; want the same, nothing was written", o.Before, o.After)
		}
		result, class := report.Skipped, remedy.Replan // the guards hold no longer
		if strings.HasSuffix(k.name, "-rollout") {
			result, class = report.Done, remedy.None // but those of a pause, which say whose it is
		}
		w.want(w.apply(s)[0], result, class, k, k.meant(w), 1)
	})
}

func TestGuardsStale(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		before := k.state(w)
		s.Guards = append(s.Guards, plan.TrustIs{Role: arn(newRole), Digest: "another"})
		o := w.apply(s)[0]
		w.want(o, report.Skipped, remedy.Replan, k, before, 0)
		if !errors.Is(o.Err, plan.ErrStale) {
			t.Errorf("got error %v, want it to wrap %v", o.Err, plan.ErrStale)
		}
	})
}

func TestLookFails(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		before := k.state(w)
		w.options.Look = blind{}
		w.want(w.apply(s)[0], report.Skipped, remedy.Retry, k, before, 0)
	})
}

// TestUnreadIsNotAbsent takes no step on a gap, even where no guard asks.
func TestUnreadIsNotAbsent(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		before := k.state(w)
		s.Guards = nil
		w.aws.AddFault(awsd.Fault{Kind: awsd.Refuse})
		w.kube.Inject(kubed.Fault{User: "observer", Failure: kubed.Forbidden})
		w.want(w.apply(s)[0], report.Skipped, remedy.Retry, k, before, 0)
	})
}

type blind struct{}

func (blind) Look(context.Context, identity.Subject, ...identity.RoleARN) (*live.Snapshot, error) {
	return nil, errors.New("connection refused")
}

// TestFaults has the pairs of style.md 1.3: a write that failed and did not take
// effect, and one that failed and did.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		aws    awsd.Kind
		kube   *kubed.Fault
		stored bool
		result report.Result
		class  remedy.Class
	}{
		{"refused", awsd.Refuse, &kubed.Fault{Failure: kubed.Forbidden}, false, report.Failed, remedy.Hold},
		{"throttled", awsd.Throttle, &kubed.Fault{Failure: kubed.Throttled}, false, report.Failed, remedy.Retry},
		{"failed and not stored", awsd.Fail, &kubed.Fault{Failure: kubed.Broken}, false, report.Failed, remedy.Retry},
		{"failed but stored", awsd.DoneButFailed, &kubed.Fault{Failure: kubed.Broken, Stored: true}, true, report.Done, remedy.None},
		{"cut and not stored", awsd.Cut, &kubed.Fault{Failure: kubed.TimedOut}, false, report.Failed, remedy.Retry},
		{"cut but stored", awsd.DoneButCut, &kubed.Fault{Failure: kubed.TimedOut, Stored: true}, true, report.Done, remedy.None},
		{"lost", awsd.Lost, nil, false, report.Unverified, remedy.Retry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
				state := k.state(w)
				if tt.stored {
					state = k.meant(w)
				}
				if k.service != "" {
					w.aws.AddFault(awsd.Fault{Service: k.service, Operation: k.operation, Kind: tt.aws})
				} else if tt.kube != nil {
					f := *tt.kube
					f.User, f.Verb = "lanyard", k.operation
					w.kube.Inject(f)
				} else {
					t.Skip("the sandbox's API server loses nothing, as etcd does not")
				}
				o := w.apply(s)[0]
				w.want(o, tt.result, tt.class, k, state, 1)
				if tt.result == report.Failed && !strings.Contains(o.Err.Error(), "unchanged") {
					t.Errorf("got error %v, want it to say what was read back", o.Err)
				}
				if tt.stored && !strings.Contains(w.log.String(), `"err":`) {
					t.Errorf("log: got %s, want it to tell of the error of a call that took effect", w.log.String())
				}
				if tt.result == report.Unverified && o.Before == o.After {
					t.Errorf("after a write that is not visible yet: got After %q, want what was written", o.After)
				}
			})
		})
	}
}

// TestStaleReadBack reads the world as it was before the write, and so does the step
// after it, which must not take that for a failure of the first.
func TestStaleReadBack(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		w.clock.Advance(time.Minute)
		w.aws.AddFault(awsd.Fault{Kind: awsd.Stale, Match: func(c awsd.Call) bool { return !c.Mutating && w.wrote.Load() > 0 }})
		w.onWrote = func() {
			w.kube.Inject(kubed.Fault{User: "observer", Failure: kubed.Stale, Lag: 30 * time.Second})
			w.kube.Inject(kubed.Fault{User: "lanyard", Failure: kubed.Stale, Lag: 30 * time.Second})
		}
		o := w.apply(s)[0]
		w.want(o, report.Unverified, remedy.Retry, k, k.meant(w), 1)
		if !o.Wrote() || !strings.Contains(o.After, k.meant(w)) {
			t.Errorf("got wrote %t, after %q; want true and %q", o.Wrote(), o.After, k.meant(w))
		}
	})
}

func TestContextEnded(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		before := k.state(w)
		calls, _ := w.aws.Calls(0)
		w.kube.ForgetCalls()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o := apply.New(w.options).Apply(ctx, planOf(s))[0]
		if now, _ := w.aws.Calls(0); len(now) != len(calls) || len(w.kube.Calls()) != 0 {
			t.Errorf("got %d calls of AWS and %d of Kubernetes, want none", len(now)-len(calls), len(w.kube.Calls()))
		}
		w.want(o, report.NotTaken, remedy.Retry, k, before, 0)
	})
}

func TestStepInHandIsFinished(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		ctx, cancel := context.WithCancel(t.Context())
		w.onLook = func(int) { cancel() }
		next := plan.Step{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "next"}, Action: plan.CreateAssociation{Role: arn(oldRole)}}
		out := apply.New(w.options).Apply(ctx, planOf(s, next))
		w.want(out[0], report.Done, remedy.None, k, k.meant(w), 1)
		w.want(out[1], report.NotTaken, remedy.Retry, k, k.meant(w), 1)
	})
}

func TestReadBackRefused(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		w.aws.AddFault(awsd.Fault{Kind: awsd.Refuse, Match: func(c awsd.Call) bool { return !c.Mutating && w.wrote.Load() > 0 }})
		w.onWrote = func() {
			w.kube.Inject(kubed.Fault{User: "observer", Failure: kubed.Forbidden})
			w.kube.Inject(kubed.Fault{User: "lanyard", Failure: kubed.Forbidden})
		}
		o := w.apply(s)[0]
		class := remedy.Retry
		if k.itself {
			class = remedy.Hold // refused to the writer itself
		}
		w.want(o, report.Unverified, class, k, k.meant(w), 1)
	})
}

func TestForeignSurvives(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world, k kind, s plan.Step) {
		w.must(errors.Join(w.apply(s)[0].Err))
		switch k.name {
		case "put-trust-statement", "drop-trust-statement", "revoke-trust":
			if text := w.trust(oldRole); !strings.Contains(text, `{"Sid":"Human",  "Effect":"Allow",`) || !strings.HasPrefix(text, "{ \"Version\":\"2012-10-17\",\n\t\"Statement\" : ") {
				t.Errorf("trust policy: got %q, want the foreign bytes of %q", text, foreignTrust)
			}
		case "set-annotation", "drop-annotation":
			if sa := w.serviceAccount(); sa.Annotations["example.com/note"] != "kept" || sa.Labels["team"] != "demo" {
				t.Errorf("ServiceAccount: got %v %v, want the note and the label kept", sa.Annotations, sa.Labels)
			}
			if sa := w.serviceAccount(); len(sa.ImagePullSecrets) != 1 || len(sa.Secrets) != 1 || sa.AutomountServiceAccountToken == nil {
				t.Errorf("ServiceAccount: got %+v, want its pull secrets, secrets and automount kept", sa)
			}
		case "restart-workload", "pause-rollout", "resume-rollout":
			if d := w.deployment(); d.Annotations["example.com/note"] != "kept" || d.Labels["team"] != "demo" || *d.Spec.Replicas != 3 {
				t.Errorf("Deployment: got %v %v, want the note, the label and the replicas kept", d.Annotations, d.Labels)
			}
		case "create-association", "update-association":
			if a, _ := w.association(); !maps.Equal(a.Tags, marks) {
				t.Errorf("tags: got %v, want %v", a.Tags, marks)
			}
		}
	})
}
