package migrate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// given are the answers of an API server that has shown the same for half a minute.
func given(c live.Credential, of string) migrate.Answers {
	var all migrate.Answers
	for i := range 6 {
		all = all.Add([]migrate.Answer{{At: now.Add(time.Duration(i-5) * 5 * time.Second), Result: migrate.AnswerGiven, Credential: c, Role: of}})
	}
	return all
}

// onPods is the course of a daemon that has seen everything for a day, and was told that
// new pods get Pod Identity.
func onPods() migrate.Course {
	return migrate.Course{Pace: desired.Pace{MaxConcurrent: 1, PerNamespace: 1}, Settle: time.Minute,
		Seen:    func(string) (time.Time, bool) { return now.Add(-24 * time.Hour), true },
		Answers: func(identity.Subject, live.WorkloadRef) migrate.Answers { return given(live.CredentialPodIdentity, "") }}
}

func onIRSA() migrate.Course {
	c := onPods()
	c.Answers = func(identity.Subject, live.WorkloadRef) migrate.Answers { return given(live.CredentialIRSA, role) }
	return c
}

// neverLeft is the memory of a daemon that never saw the workload on another side.
func neverLeft(condition string) (time.Time, bool) {
	return now.Add(-24 * time.Hour), !strings.HasPrefix(condition, "leaves:")
}

// nextOf returns what is next for the world's mapping, in a few words: its phase, the
// steps with their actions, and the reasons of holds.
func nextOf(t *testing.T, w *world, c migrate.Course) (string, migrate.Next) {
	t.Helper()
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	w.o.Mappings = []desired.Mapping{w.m}
	a := migrate.NewAssessor(snap, w.o)
	r := diff.Compare(desired.State{Mappings: []desired.Mapping{a.Resolve(w.m)}}, snap, diff.Options{})
	n, moves := a.Next(r.Judged, w.o.Mappings, c)[subject]
	if !moves {
		return "rest", n
	}
	words := []string{n.Phase.String()}
	if n.Move.Prepare {
		words = append(words, "prepare")
	}
	for _, s := range n.Move.Steps {
		words = append(words, "+"+s.Action.Kind())
	}
	for _, h := range n.Move.Holds {
		words = append(words, "-"+string(h.Reason))
	}
	return strings.Join(words, " "), n
}

// widened is a workload on IRSA whose far side is ready.
func widened() *world {
	w := eligible()
	w.m.Mechanism = identity.PodIdentity
	w.m.Adopt = desired.Adopt{Annotation: true, Trust: true, Association: true}
	w.m.Migration.Proof, w.m.Migration.Soak = desired.ProofDeclared, 30*time.Minute
	w.f.Workloads[0].UID, w.pod().UID = "w", "p"
	w.f.Pods = append(w.f.Pods, *w.pod())
	w.f.Pods[1].Name, w.f.Pods[1].UID = "api-2", "p2"
	w.sa().UID = "s"
	w.trusts(identity.IRSA, identity.PodIdentity)
	return w
}

// trusts makes the role trust the subject by these mechanisms.
func (w *world) trusts(by ...identity.Mechanism) {
	cluster := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws", Issuer: issuer}
	var all []string
	for _, m := range by {
		g := trust.Grant{Mechanism: m, Subject: subject, Cluster: cluster, SessionTags: true, Provider: "arn:aws:iam::" + account + ":oidc-provider/" + host, Audiences: []string{"sts.amazonaws.com"}}
		all = append(all, string(g.Statement()))
	}
	w.role().TrustPolicy = `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + `]}`
}

// crossing is a workload whose association stands while its pods are on IRSA.
func crossing() *world {
	w := widened()
	a := association(w)
	a.CreatedAt, a.ModifiedAt = now.Add(-10*time.Minute), now.Add(-10*time.Minute)
	w.f.Associations = []live.Association{a}
	return w
}

// soaked is a workload all of whose pods are on Pod Identity since an hour.
func soaked() *world {
	w := crossing()
	w.f.Associations[0].CreatedAt, w.f.Associations[0].ModifiedAt = now.Add(-2*time.Hour), now.Add(-2*time.Hour)
	for i := range w.f.Pods {
		w.f.Pods[i].Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		w.f.Pods[i].CreatedAt = now.Add(-time.Hour)
	}
	return w
}

// renamed is a workload on its way to Pod Identity, whose association was given another
// role ten minutes ago: one pod has moved since, and one before.
func renamed() *world {
	w := soaked()
	w.m.Role = arn(otherRole)
	w.f.Roles = append(w.f.Roles, *w.role())
	w.f.Roles[len(w.f.Roles)-1].ARN = w.m.Role
	a := &w.f.Associations[0]
	a.Role, a.ModifiedAt = w.m.Role, now.Add(-10*time.Minute)
	w.f.Pods[0].CreatedAt = now.Add(-5 * time.Minute)
	return w
}

// otherRole is what Git asks for in the middle of a move from role.
const otherRole = "arn:aws:iam::" + account + ":role/other"

// lately is the memory of a daemon that has seen the association as it is since a while.
func lately(d time.Duration) func(string) (time.Time, bool) {
	return func(condition string) (time.Time, bool) {
		if strings.HasPrefix(condition, "serves:") {
			return now.Add(-d), true
		}
		return now.Add(-24 * time.Hour), true
	}
}

// owned makes the pods those of another kind of owner.
func (w *world) owned(kind string) {
	w.workload().Kind = kind
	for i := range w.f.Pods {
		w.f.Pods[i].Owner.Kind = kind
	}
}

// beside adds another workload of the ServiceAccount, with two pods on IRSA.
func (w *world) beside(kind, name string) {
	o := *w.workload()
	o.Kind, o.Name, o.UID = kind, name, name
	w.f.Workloads = append(w.f.Workloads, o)
	for _, p := range append([]live.Pod(nil), w.f.Pods...) {
		p.Name, p.UID, p.Owner = name+p.Name, name+p.UID, live.WorkloadRef{Kind: kind, Name: name}
		w.f.Pods = append(w.f.Pods, p)
	}
}

// back is a workload on Pod Identity that Git wants on IRSA, with everything ready.
func back() *world {
	w := soaked()
	w.m.Mechanism = identity.IRSA
	return w
}

// TestNext holds each gate to its facts: what is next, and why not.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		world  func() *world
		change func(*world, *migrate.Course)
		want   string
	}{
		{"not trusted yet", widened, func(w *world, _ *migrate.Course) { w.trusts(identity.IRSA) }, "pending prepare"},
		{"trusted, and not seen for long", widened, func(_ *world, c *migrate.Course) { c.Seen = nil }, "pending prepare -settling"},
		{"a pod on Fargate", widened, func(w *world, _ *migrate.Course) { w.pod().Fargate = true }, "widened -not-eligible"},
		{"the profiles were not read", widened, func(w *world, _ *migrate.Course) {
			w.f.FargateProfiles = nil
			w.gap(live.SourceListFargateProfiles, "")
		}, "widened -not-eligible"},
		{"ready", widened, nil, "widened +create-association"},
		{"migration.hold", widened, func(w *world, _ *migrate.Course) { w.m.Migration.Hold = "release week" }, "widened -held"},
		{"the ServiceAccount is paused", widened, func(w *world, _ *migrate.Course) { w.sa().Annotations[diff.PauseMark] = "why" }, "widened -paused"},
		{"its namespace is paused", widened, func(w *world, _ *migrate.Course) { w.f.Namespaces[0].Pause = "why" }, "widened -paused"},
		{"all are paused", widened, func(_ *world, c *migrate.Course) { c.Pace.Pause = true }, "widened -paused"},
		{"outside the window", widened, func(w *world, _ *migrate.Course) {
			w.m.Migration.Windows, _ = desired.ParseWindows("Mon-Fri 22:00-04:00 Europe/Berlin")
		}, "widened -outside-window"},
		{"a pod came up without credentials", widened, func(w *world, _ *migrate.Course) {
			w.sa().Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm", Time: now.Add(-time.Hour)}}
			w.pod().Containers[0].Credential, w.pod().CreatedAt = live.CredentialNone, now.Add(-10*time.Minute)
		}, "widened -paused"},
		{"one did an hour ago", widened, func(w *world, _ *migrate.Course) {
			w.sa().Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm", Time: now.Add(-3 * time.Hour)}}
			w.pod().Containers[0].Credential, w.pod().CreatedAt = live.CredentialNone, now.Add(-time.Hour)
		}, "widened +create-association"},
		{"nobody was asked", widened, func(_ *world, c *migrate.Course) { c.Answers = nil }, "widened -waiting"},
		{"nobody was asked about a CronJob", widened, func(w *world, c *migrate.Course) {
			w.workload().Kind, w.f.Pods, c.Answers = "CronJob", nil, nil
		}, "widened -waiting"},
		{"nothing guards a dry run of a CronJob's pod", widened, func(w *world, c *migrate.Course) {
			w.workload().Kind, w.f.Pods = "CronJob", nil
			c.Answers = func(identity.Subject, live.WorkloadRef) migrate.Answers {
				return migrate.Answers{}.Add([]migrate.Answer{{At: now, Result: migrate.AnswerUnguarded, Message: "no policy"}})
			}
		}, "widened -probe-unguarded"},
		{"a Job of a CronJob's is not asked about", widened, func(w *world, c *migrate.Course) {
			w.workload().Kind, w.workload().Owner, w.f.Pods, c.Answers = "Job", live.WorkloadRef{Kind: "CronJob", Name: "api"}, nil, nil
		}, "widened +create-association"},
		{"a dry run was refused", widened, func(_ *world, c *migrate.Course) {
			c.Answers = func(identity.Subject, live.WorkloadRef) migrate.Answers {
				return given(live.CredentialIRSA, role).Add([]migrate.Answer{{At: now, Result: migrate.AnswerRefused, Message: "exceeded quota"}})
			}
		}, "widened -probe-refused"},
		{"nothing guards a dry run", widened, func(_ *world, c *migrate.Course) {
			c.Answers = func(identity.Subject, live.WorkloadRef) migrate.Answers {
				return migrate.Answers{}.Add([]migrate.Answer{{At: now, Result: migrate.AnswerUnguarded, Message: "no policy"}})
			}
		}, "widened -probe-unguarded"},
		{"an association of others", crossing, func(w *world, _ *migrate.Course) {
			w.f.Associations[0].Tags, w.m.Adopt.Association = nil, false
			w.f.Associations[0].Role = arn("arn:aws:iam::" + account + ":role/theirs")
		}, "pending -owner-must-act"},

		{"crossing", crossing, nil, "crossing +evict-pod"},
		{"new pods would still get IRSA", crossing, func(_ *world, c *migrate.Course) { *c = onIRSA() }, "crossing -waiting"},
		{"the canary is up", crossing, func(w *world, _ *migrate.Course) {
			w.f.Pods = append(w.f.Pods, *w.pod())
			w.f.Pods[2].Name, w.f.Pods[2].Containers = "api-3", []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		}, "crossing +restart-workload"},
		{"it is not ready", crossing, func(w *world, _ *migrate.Course) {
			w.pod().Containers, w.pod().Ready, w.pod().CreatedAt = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}, false, now.Add(-time.Minute)
		}, "crossing -waiting"},
		{"it crash-loops", crossing, func(w *world, _ *migrate.Course) {
			w.pod().Containers, w.pod().Ready, w.pod().CreatedAt = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}, false, now.Add(-5*time.Minute)
			w.pod().Trouble, w.pod().Restarts = live.TroubleCrash, 3
		}, "crossing +set-annotation"},
		{"so does one on IRSA", crossing, func(w *world, _ *migrate.Course) {
			w.pod().Containers, w.pod().Ready, w.pod().CreatedAt = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}, false, now.Add(-5*time.Minute)
			w.pod().Trouble, w.pod().Restarts = live.TroubleCrash, 3
			w.f.Pods[1].Ready = false
		}, "crossing -waiting"},
		{"its image cannot be pulled", crossing, func(w *world, _ *migrate.Course) {
			w.pod().Containers, w.pod().Ready, w.pod().CreatedAt = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}, false, now.Add(-time.Hour)
			w.f.Associations[0].CreatedAt = now.Add(-2 * time.Hour)
			w.pod().Trouble = live.TroubleImage
		}, "crossing -waiting"},
		{"a Job's pod came up without credentials, and so did another", soaked, func(w *world, _ *migrate.Course) {
			job := *w.workload()
			job.Kind, job.Name = "CronJob", "a-nightly"
			w.f.Workloads = append(w.f.Workloads, job)
			w.f.Pods = append(w.f.Pods, *w.pod())
			w.f.Pods[2].Name, w.f.Pods[2].UID, w.f.Pods[2].Owner = "nightly-1", "n", live.WorkloadRef{Kind: "CronJob", Name: "a-nightly"}
			w.f.Pods[2].Containers = []live.Container{{Name: "api", Credential: live.CredentialNone}}
			w.f.Pods[1].Containers = []live.Container{{Name: "api", Credential: live.CredentialNone}}
		}, "soaking -no-run-yet -no-run-yet +evict-pod"},
		{"a Job's pod alone came up without credentials", soaked, func(w *world, _ *migrate.Course) {
			job := *w.workload()
			job.Kind, job.Name = "CronJob", "a-nightly"
			w.f.Workloads = append(w.f.Workloads, job)
			for i, c := range []live.Credential{live.CredentialPodIdentity, live.CredentialNone} { // its last run had them
				p := *w.pod()
				p.Name, p.UID, p.Owner = fmt.Sprint("nightly-", i), fmt.Sprint("n", i), live.WorkloadRef{Kind: "CronJob", Name: "a-nightly"}
				p.Containers = []live.Container{{Name: "api", Credential: c}}
				w.f.Pods = append(w.f.Pods, p)
			}
		}, "narrowing -no-run-yet"},
		{"its own rollout only", crossing, func(w *world, _ *migrate.Course) { w.m.Migration.Restart = desired.RestartNatural }, "crossing -waiting"},
		{"a rollout is under way", crossing, func(w *world, _ *migrate.Course) { w.workload().Rolling = true }, "crossing -waiting"},
		{"a rollout makes pods without credentials", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Rolling = true
			w.pod().Containers[0].Credential, w.pod().CreatedAt = live.CredentialNone, now.Add(-time.Minute)
		}, "crossing +pause-rollout"},
		{"and was paused; pods are injected again", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Rolling, w.workload().Suspended, w.workload().PausedBy = true, true, `{"why":"x"}`
		}, "crossing +resume-rollout"},
		{"one of its pods has no credentials yet", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Rolling, w.workload().Suspended, w.workload().PausedBy = true, true, `{"why":"x"}`
			w.pod().Containers[0].Credential, w.pod().CreatedAt = live.CredentialNone, now.Add(-time.Minute)
		}, "crossing +evict-pod"},
		{"paused while crossing", crossing, func(w *world, _ *migrate.Course) { w.sa().Annotations[diff.PauseMark] = "why" }, "crossing -paused"},
		{"a CronJob's pods", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Kind = "CronJob"
			w.f.Pods[0].Owner.Kind, w.f.Pods[1].Owner.Kind = "CronJob", "CronJob"
		}, "crossing -no-run-yet"},
		{"OnDelete", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Kind, w.workload().Strategy.Type = "DaemonSet", "OnDelete"
			w.f.Pods[0].Owner.Kind, w.f.Pods[1].Owner.Kind = "DaemonSet", "DaemonSet"
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		}, "crossing +evict-pod"},
		{"its Deployment is paused by its owner", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Suspended = true
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		}, "crossing +evict-pod"},
		{"one replica, replaced with a surge", crossing, func(w *world, _ *migrate.Course) {
			w.f.Pods, w.workload().Replicas = w.f.Pods[:1], 1
		}, "crossing +restart-workload"},

		{"scaled to zero, before it crosses", widened, func(w *world, _ *migrate.Course) { w.f.Pods, w.workload().Replicas = nil, 0 }, "widened +create-association"},
		{"scaled to zero, and crossed", crossing, func(w *world, _ *migrate.Course) { w.f.Pods, w.workload().Replicas = nil, 0 }, "soaking -no-run-yet -settling"},
		{"an autoscaler adds pods, one of which is not there yet", crossing, func(w *world, _ *migrate.Course) { w.workload().Replicas = 3 }, "crossing -waiting"},
		{"an autoscaler adds pods, one of which is not ready yet", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Replicas = 3
			fresh := *w.pod()
			fresh.Name, fresh.UID, fresh.CreatedAt, fresh.Ready = "api-3", "p3", now.Add(-time.Minute), false
			fresh.Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
			w.f.Pods = append(w.f.Pods, fresh)
		}, "crossing -waiting"},
		{"an autoscaler's pod is the canary", crossing, func(w *world, _ *migrate.Course) {
			w.workload().Replicas = 3
			fresh := *w.pod()
			fresh.Name, fresh.UID, fresh.CreatedAt = "api-3", "p3", now.Add(-time.Minute)
			fresh.Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
			w.f.Pods = append(w.f.Pods, fresh)
		}, "crossing +restart-workload"},
		{"the second of two workloads", crossing, func(w *world, _ *migrate.Course) {
			w.beside("Deployment", "zeta")
			w.f.Pods[0].Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
			w.f.Pods[1].Containers = w.f.Pods[0].Containers
		}, "crossing +evict-pod"},
		{"one after the other", crossing, func(w *world, _ *migrate.Course) { w.beside("StatefulSet", "zeta") }, "crossing +evict-pod"},
		{"an Argo Rollout: one pod first", crossing, func(w *world, _ *migrate.Course) { w.owned("Rollout") }, "crossing +evict-pod"},
		{"an Argo Rollout: then the rest", crossing, func(w *world, _ *migrate.Course) {
			w.f.Pods = append(w.f.Pods, *w.pod())
			w.f.Pods[2].Name, w.f.Pods[2].UID, w.workload().Replicas = "api-3", "p3", 3
			w.owned("Rollout")
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		}, "crossing +restart-workload"},

		{"the soak is not over", soaked, func(w *world, c *migrate.Course) {
			w.f.Pods[1].CreatedAt = now.Add(-time.Minute)
			w.f.Pods[0].CreatedAt, c.Seen = now.Add(-time.Minute), nil
		}, "soaking -settling"},
		{"pods that come later do not begin it anew", soaked, func(w *world, _ *migrate.Course) { w.f.Pods[1].CreatedAt = now.Add(-time.Minute) }, "narrowing +drop-annotation"},
		{"nothing proves it", soaked, func(w *world, _ *migrate.Course) { w.m.Migration.Proof = desired.ProofCloudTrail }, "soaking -no-proof"},
		{"CloudTrail proves it", soaked, func(w *world, c *migrate.Course) {
			w.m.Migration.Proof = desired.ProofCloudTrail
			c.Use = func(identity.Subject) migrate.Use { return migrate.Use{New: now.Add(-time.Minute)} }
		}, "narrowing +drop-annotation"},
		{"an owner has not run", soaked, func(w *world, _ *migrate.Course) {
			w.f.Workloads = append(w.f.Workloads, live.Workload{Namespace: "demo", Kind: "CronJob", Name: "nightly", ServiceAccount: "api", Containers: w.workload().Containers})
		}, "soaking -no-run-yet"},
		{"narrowing", soaked, nil, "narrowing +drop-annotation"},
		{"narrowing, by a process that has just begun to look, or Git by its mind just changed", soaked, func(_ *world, c *migrate.Course) { c.Seen = nil }, "narrowing -settling"},
		{"narrowing outside the window", soaked, func(w *world, _ *migrate.Course) {
			w.m.Migration.Windows, _ = desired.ParseWindows("Mon-Fri 22:00-04:00 Europe/Berlin")
		}, "narrowing -outside-window"},
		{"the annotation is gone", soaked, func(w *world, _ *migrate.Course) { delete(w.sa().Annotations, diff.AnnotationRole) }, "narrowing +revoke-trust"},
		{"since a moment", soaked, func(w *world, c *migrate.Course) {
			delete(w.sa().Annotations, diff.AnnotationRole)
			c.Seen = nil
		}, "narrowing -settling"},
		{"lanyard's own statement only", soaked, func(w *world, _ *migrate.Course) {
			delete(w.sa().Annotations, diff.AnnotationRole)
			w.m.Adopt.Trust = false
		}, "narrowing +drop-trust-statement"},
		{"it fails late", soaked, func(w *world, _ *migrate.Course) {
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
		}, "narrowing +set-annotation"},
		{"too late to go back", soaked, func(w *world, _ *migrate.Course) {
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
			delete(w.sa().Annotations, diff.AnnotationRole)
		}, "narrowing -waiting"},
		{"settled", soaked, func(w *world, _ *migrate.Course) {
			delete(w.sa().Annotations, diff.AnnotationRole)
			w.trusts(identity.PodIdentity)
		}, "rest"},

		{"back: no annotation yet", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			delete(w.sa().Annotations, diff.AnnotationRole)
		}, "pending prepare"},
		{"back", back, func(_ *world, c *migrate.Course) { *c = onIRSA() }, "widened +delete-association"},
		{"back: a Job runs on Pod Identity", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.f.Pods[1].Owner = live.WorkloadRef{Kind: "Job", Name: "once"}
		}, "widened -not-hitless"},
		{"back: a bare pod runs on Pod Identity", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.f.Pods[1].Owner = live.WorkloadRef{}
		}, "widened -not-hitless"},
		{"back: the association is gone", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			c.Seen = func(string) (time.Time, bool) { return now.Add(-time.Minute), true }
			w.f.Associations = nil
		}, "crossing +restart-workload"},
		{"back, whatever restart says, and pauses", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			c.Seen = func(string) (time.Time, bool) { return now.Add(-time.Minute), true }
			w.f.Associations, w.m.Migration.Restart, c.Pace.Pause = nil, desired.RestartNatural, true
		}, "crossing +restart-workload"},
		{"back: one was admitted after the delete with the old variables", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.f.Associations = nil
			c.Seen = func(string) (time.Time, bool) { return now.Add(-time.Minute), true }
			w.f.Pods[1].CreatedAt = now.Add(-30 * time.Second)
		}, "crossing +evict-pod"},
		{"back: credentials may live on", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			c.Seen = func(string) (time.Time, bool) { return now.Add(-5 * time.Hour), true }
			w.f.Associations = nil
			for i := range w.f.Pods {
				w.f.Pods[i].Containers = []live.Container{{Name: "api", Credential: live.CredentialIRSA, Role: role, Audience: "sts.amazonaws.com"}}
			}
		}, "narrowing -settling"},
		{"back: credentials live an hour", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			c.Seen, c.SessionLife = func(string) (time.Time, bool) { return now.Add(-5 * time.Hour), true }, time.Hour
			w.f.Associations = nil
			for i := range w.f.Pods {
				w.f.Pods[i].Containers = []live.Container{{Name: "api", Credential: live.CredentialIRSA, Role: role, Audience: "sts.amazonaws.com"}}
			}
		}, "narrowing +revoke-trust"},
		{"back: nothing uses it any more", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.f.Associations = nil
			for i := range w.f.Pods {
				w.f.Pods[i].Containers = []live.Container{{Name: "api", Credential: live.CredentialIRSA, Role: role, Audience: "sts.amazonaws.com"}}
			}
		}, "narrowing +revoke-trust"},

		{"rolled back: the association still stands", crossing, func(w *world, c *migrate.Course) { marked(w); *c = onIRSA() }, "rolled-back -rolled-back +delete-association"},
		{"rolled back: the annotation is gone", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			delete(w.sa().Annotations, diff.AnnotationRole)
		}, "rolled-back -rolled-back -owner-must-act"},
		{"rolled back: since a moment", crossing, func(w *world, c *migrate.Course) { marked(w); c.Seen = nil }, "rolled-back -rolled-back -settling"},
		{"rolled back: a pod is left on Pod Identity", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			*c = onIRSA()
			w.f.Associations = nil
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		}, "rolled-back -rolled-back +evict-pod"},
		{"rolled back, and at rest", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			*c = onIRSA()
			w.f.Associations = nil
		}, "rolled-back -rolled-back"},
		{"rolled back: by a mark that cannot be read", crossing, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.sa().Annotations[migrate.RolledBackMark] = "by somebody"
		}, "rolled-back -rolled-back"},
		{"rolled back: twice, and another mapping", crossing, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.sa().Annotations[migrate.RolledBackMark] = migrate.Mark{Digest: "0123456789ab", At: []time.Time{now, now.Add(-time.Minute)}}.String()
		}, "rolled-back -rolled-back"},
		{"rolled back: auto, and no longer eligible", crossing, func(w *world, c *migrate.Course) {
			w.m.Mechanism = identity.Auto
			marked(w)
			w.f.Associations, w.pod().Fargate = nil, true
		}, "rolled-back -rolled-back"},
		{"rolled back: twice, and Git gave up meanwhile", crossing, func(w *world, c *migrate.Course) {
			w.m.Mechanism = identity.IRSA
			w.sa().Annotations[migrate.RolledBackMark] = migrate.Mark{Digest: "0123456789ab", At: []time.Time{now, now.Add(-time.Minute)}}.String()
		}, "rolled-back -rolled-back +delete-association"},
		{"rolled back: the pods that a delete exposed, whosever the mark", crossing, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.f.Associations = nil
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
			w.sa().Annotations[migrate.RolledBackMark] = migrate.Mark{Digest: "0123456789ab", At: []time.Time{now, now.Add(-time.Minute)}}.String()
		}, "rolled-back -rolled-back +evict-pod"},
		{"rolled back: to Pod Identity, by a mark that somebody wrote, on Fargate", widened, func(w *world, _ *migrate.Course) {
			w.m.Mechanism = identity.IRSA
			marked(w)
			w.pod().Fargate = true
		}, "rolled-back -rolled-back -not-eligible"},
		{"rolled back: to Pod Identity", widened, func(w *world, _ *migrate.Course) {
			w.m.Mechanism = identity.IRSA
			marked(w)
		}, "rolled-back -rolled-back +create-association"},
		{"rolled back: the workloads cannot be read", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			*c = onIRSA()
			w.f.Workloads = w.f.Workloads[1:]
			w.gap(live.SourceWorkloads, "")
		}, "rolled-back -rolled-back -blind"},
		{"rolled back: its owner has paused a rollout in the middle", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			*c = onIRSA()
			c.Seen = func(string) (time.Time, bool) { return now.Add(-30 * time.Second), true }
			w.f.Associations, w.workload().Rolling, w.workload().Suspended = nil, true, true
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		}, "rolled-back -rolled-back +evict-pod"},
		{"rolled back: a rollout goes on", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			*c = onIRSA()
			c.Seen = func(string) (time.Time, bool) { return now.Add(-30 * time.Second), true }
			w.f.Associations, w.workload().Rolling = nil, true
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
			w.f.Pods[1].CreatedAt = now.Add(-time.Minute)
		}, "rolled-back -rolled-back -waiting"},
		{"rolled back: one has stopped", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			*c = onIRSA()
			c.Seen = func(string) (time.Time, bool) { return now.Add(-30 * time.Second), true }
			w.f.Associations, w.workload().Rolling = nil, true
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
		}, "rolled-back -rolled-back +evict-pod"},

		{"an owner's own rollout fails, on IRSA since ever, with a role that trusts both", widened, func(w *world, c *migrate.Course) {
			c.Seen = neverLeft
			w.m.Mechanism, w.m.Adopt.Trust, w.workload().Rolling = identity.IRSA, false, true
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
			w.f.Providers[0].ClientIDs = []string{"sts.amazonaws.com"}
		}, "crossing -waiting"},
		{"its new template opts out of the webhook", widened, func(w *world, c *migrate.Course) {
			c.Seen = neverLeft
			w.m.Mechanism, w.m.Adopt.Trust, w.workload().Rolling = identity.IRSA, false, true
			w.pod().Containers[0].Credential = live.CredentialNone
		}, "crossing -waiting"},
		{"the same on Pod Identity, settled with the old side kept", soaked, func(w *world, c *migrate.Course) {
			c.Seen = neverLeft
			w.m.Migration.Cleanup, w.workload().Rolling = desired.CleanupKeepAnnotation, true
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
			w.pod().CreatedAt = now.Add(-5 * time.Minute)
		}, "crossing"},
		{"back: it fails after the last pod has left", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			c.Seen = func(string) (time.Time, bool) { return now.Add(-10 * time.Minute), true }
			w.f.Associations = nil
			for i := range w.f.Pods {
				w.f.Pods[i].Containers = []live.Container{{Name: "api", Credential: live.CredentialIRSA, Role: role, Audience: "sts.amazonaws.com"}}
				w.f.Pods[i].CreatedAt = now.Add(-5 * time.Minute)
			}
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
		}, "soaking +set-annotation"},
		{"back: the workloads cannot be read", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.gap(live.SourceWorkloads, "")
		}, "widened -blind"},
		{"back: nobody knows who makes its pods again", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.f.Pods[1].Owner = live.WorkloadRef{Kind: "SparkApplication", Name: "etl"}
		}, "widened -not-hitless"},
		{"the annotation is others'", soaked, func(w *world, _ *migrate.Course) {
			w.m.Adopt.Annotation = false
			w.sa().Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm"}}
		}, "rest"},
		{"pods without credentials from before, and it is paused", crossing, func(w *world, _ *migrate.Course) {
			for i := range w.f.Pods {
				w.f.Pods[i].Containers = []live.Container{{Name: "api", Credential: live.CredentialNone}}
			}
			w.f.Associations[0].CreatedAt, w.sa().Annotations[diff.PauseMark] = now.Add(-time.Minute), "why"
			w.m.Migration.Soak = 0
		}, "soaking -no-run-yet -paused"},
		{"they came up without since", crossing, func(w *world, _ *migrate.Course) {
			w.pod().Containers, w.pod().CreatedAt = []live.Container{{Name: "api", Credential: live.CredentialNone}}, now.Add(-9*time.Minute)
			w.f.Pods[1].Containers = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}
			w.sa().Annotations[diff.PauseMark] = "why"
		}, "soaking +evict-pod"},
		{"role changed on the way: a pod from before", renamed, func(w *world, c *migrate.Course) { c.Seen = lately(10 * time.Minute) }, "crossing +evict-pod"},
		{"role changed on the way: and a new process", renamed, func(w *world, c *migrate.Course) { c.Seen = lately(0) }, "crossing +evict-pod"},
		{"role changed on the way: just now", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(0)
			w.f.Associations[0].ModifiedAt = now.Add(-30 * time.Second)
		}, "crossing -settling"},
		{"role changed on the way: all pods have moved since", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(10 * time.Minute)
			w.f.Pods[1].CreatedAt = now.Add(-5 * time.Minute)
		}, "soaking -settling"},
		{"something else of the association was updated", renamed, func(w *world, c *migrate.Course) { c.Seen = lately(time.Hour) }, "narrowing +drop-annotation"},
		{"role changed once settled", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(10 * time.Minute)
			delete(w.sa().Annotations, diff.AnnotationRole)
		}, "narrowing +revoke-trust"},
		{"role and mechanism changed together: it fails", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(10 * time.Minute)
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
		}, "crossing +set-annotation"},
		{"role and mechanism changed together: rolled back to the role of before", renamed, func(w *world, c *migrate.Course) {
			marked(w)
		}, "rolled-back -rolled-back +delete-association"},
		{"role and mechanism changed together: rolled back, its pods come back", renamed, func(w *world, c *migrate.Course) {
			marked(w)
			*c = onIRSA()
			w.f.Associations = nil
		}, "rolled-back -rolled-back +evict-pod"},
		{"role and mechanism changed together: the role of before lets nobody in", renamed, func(w *world, c *migrate.Course) {
			marked(w)
			w.role().TrustPolicy = `{"Version":"2012-10-17","Statement":[]}`
		}, "rolled-back -rolled-back -owner-must-act"},
		{"role changed on the way: the pod from before is not ready", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(10 * time.Minute)
			w.f.Pods[1].Ready, w.f.Pods[1].Trouble, w.f.Pods[1].Restarts = false, live.TroubleCrash, 9
		}, "crossing +evict-pod"},
		{"role changed on the way: a rollout without credentials, meanwhile", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(0)
			w.f.Associations[0].ModifiedAt, w.workload().Rolling = now.Add(-30*time.Second), true
			w.pod().Containers[0].Credential, w.pod().CreatedAt = live.CredentialNone, now.Add(-10*time.Second)
		}, "crossing +pause-rollout"},
		{"role changed on the way: a Job's pod follows by itself", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(10 * time.Minute)
			w.beside("CronJob", "a-nightly")
			w.f.Pods = w.f.Pods[:3]
			w.f.Pods[1].CreatedAt, w.f.Pods[2].CreatedAt = now.Add(-5*time.Minute), now.Add(-time.Hour)
		}, "soaking -settling"},
		{"role changed seven hours ago", renamed, func(w *world, c *migrate.Course) {
			c.Seen = lately(0)
			w.f.Associations[0].CreatedAt, w.f.Associations[0].ModifiedAt = now.Add(-48*time.Hour), now.Add(-7*time.Hour)
			w.f.Pods[1].CreatedAt = now.Add(-24 * time.Hour)
		}, "narrowing +drop-annotation"},
		{"it fails, and the OIDC provider is gone", soaked, func(w *world, _ *migrate.Course) {
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
			w.f.Providers = nil
		}, "narrowing -waiting"},
		{"it fails, and the provider does not take the audience of the annotation", soaked, func(w *world, _ *migrate.Course) {
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
			w.sa().Annotations[diff.AnnotationAudience] = "another"
		}, "narrowing -waiting"},
		{"it fails, and trust does not take the audience of the annotation", soaked, func(w *world, _ *migrate.Course) {
			w.pod().Ready, w.pod().Trouble, w.pod().Restarts = false, live.TroubleCrash, 9
			w.sa().Annotations[diff.AnnotationAudience] = "another"
			w.m.IRSA.Audience = "sts.amazonaws.com"
			w.f.Providers[0].ClientIDs = []string{"sts.amazonaws.com", "another"}
		}, "narrowing -waiting"},
		{"rolled back: the OIDC provider is gone", crossing, func(w *world, _ *migrate.Course) {
			marked(w)
			w.f.Providers = nil
		}, "rolled-back -rolled-back -owner-must-act"},
		{"rolled back: the annotation names a role that the guard rails do not allow", crossing, func(w *world, c *migrate.Course) {
			marked(w)
			w.f.Roles = append(w.f.Roles, *w.role())
			w.f.Roles[len(w.f.Roles)-1].ARN = arn(otherRole)
			w.sa().Annotations[diff.AnnotationRole] = otherRole
			c.Diff.Forbid = func(m desired.Mapping) (string, bool) { return "not allowed", m.Role.String() == otherRole }
		}, "rolled-back -rolled-back -owner-must-act"},
		{"back: a new pod fails while old ones are exposed", back, func(w *world, c *migrate.Course) {
			*c = onIRSA()
			w.f.Associations, w.workload().Replicas = nil, 2
			c.Seen = func(string) (time.Time, bool) { return now.Add(-20 * time.Minute), true }
			w.pod().Containers = []live.Container{{Name: "api", Credential: live.CredentialIRSA, Role: role, Audience: "sts.amazonaws.com"}}
			w.pod().CreatedAt, w.pod().Ready, w.pod().Trouble, w.pod().Restarts = now.Add(-5*time.Minute), false, live.TroubleCrash, 9
			w.f.Pods[1].Ready = false
			w.trusts(identity.IRSA)
		}, "crossing -waiting +evict-pod"},
		{"another mapping was rolled back", widened, func(w *world, _ *migrate.Course) {
			marked(w)
			w.m.Migration.Soak++
		}, "widened +create-association"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, c := tt.world(), onPods()
			if tt.change != nil {
				tt.change(w, &c)
			}
			got, n := nextOf(t, w, c)
			want := strings.Join(sorted(tt.want), " ")
			if strings.Join(sorted(got), " ") != want {
				t.Errorf("got %s, want %s\n%+v", got, tt.want, n.Move.Holds)
			}
			for _, s := range n.Move.Steps {
				if s.Because == "" || len(s.Guards) == 0 || s.Subject != subject {
					t.Errorf("step %+v lacks a reason, a guard or its subject", s)
				}
			}
		})
	}
}

// sorted orders the words after the phase.
func sorted(words string) []string {
	all := strings.Fields(words)
	rest := all[1:]
	for i := range rest {
		for j := i + 1; j < len(rest); j++ {
			if rest[j] < rest[i] {
				rest[i], rest[j] = rest[j], rest[i]
			}
		}
	}
	return all
}

// marked writes the mark of the world's own mapping.
// TestWayBackIsKept: while pods move to Pod Identity, IRSA's trust is kept where the way back
// is Git's role, and its trust lanyard's to keep; on the way to IRSA nothing is.
func TestWayBackIsKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		world  func() *world
		change func(*world)
		want   []identity.Mechanism
	}{
		{"pods move", crossing, nil, []identity.Mechanism{identity.IRSA}},
		{"by lanyard's own statement", crossing, func(w *world) { w.m.Adopt.Trust = false }, []identity.Mechanism{identity.IRSA}},
		{"by somebody else's", crossing, func(w *world) {
			w.m.Adopt.Trust = false
			w.role().TrustPolicy = strings.NewReplacer("Lanyard", "Theirs").Replace(w.role().TrustPolicy)
		}, nil},
		{"no annotation leads back", crossing, func(w *world) { delete(w.sa().Annotations, diff.AnnotationRole) }, nil},
		{"no OIDC provider", crossing, func(w *world) { w.f.Providers = nil }, nil},
		{"another audience", crossing, func(w *world) { w.sa().Annotations[diff.AnnotationAudience] = "another" }, nil},
		{"the role of before", renamed, nil, nil},
		{"all have moved", soaked, nil, nil},
		{"to IRSA", back, func(w *world) { w.f.Associations = nil }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, c := tt.world(), onPods()
			c.Seen = lately(10 * time.Minute)
			if w.m.Mechanism == identity.IRSA {
				c = onIRSA()
			}
			if tt.change != nil {
				tt.change(w)
			}
			if got, n := nextOf(t, w, c); !slices.Equal(n.Move.Let, tt.want) {
				t.Errorf("%s: lets %v in besides, want %v", got, n.Move.Let, tt.want)
			}
		})
	}
}

func marked(w *world) {
	w.sa().Annotations[migrate.RolledBackMark] = migrate.Mark{Digest: migrate.Digest(w.m), At: []time.Time{now.Add(-time.Minute)}, Reason: "crash-loops"}.String()
}

// TestMarkRemembersTheOneBefore: two rollbacks within a day hold whatever the mapping says.
func TestMarkRemembersTheOneBefore(t *testing.T) {
	t.Parallel()
	w := crossing()
	marked(w)
	w.m.Migration.Soak++
	w.pod().Containers, w.pod().Ready, w.pod().CreatedAt = []live.Container{{Name: "api", Credential: live.CredentialPodIdentity}}, false, now.Add(-5*time.Minute)
	w.pod().Trouble, w.pod().Restarts = live.TroubleCrash, 3
	_, n := nextOf(t, w, onPods())
	if len(n.Move.Steps) != 1 {
		t.Fatalf("got %+v, want the mark", n.Move)
	}
	set, is := n.Move.Steps[0].Action.(plan.SetAnnotation)
	if !is {
		t.Fatalf("got %s, want the mark", n.Move.Steps[0].Action)
	}
	mark, err := migrate.ParseMark(set.Value)
	if err != nil || len(mark.At) != 2 || !mark.At[0].Equal(now) || !mark.At[1].Equal(now.Add(-time.Minute)) || mark.Digest != migrate.Digest(w.m) {
		t.Errorf("mark %q (%v)", set.Value, err)
	}
	w.m.Migration.Soak++ // a third try is not made, whatever changes
	w.sa().Annotations[migrate.RolledBackMark] = set.Value
	if _, n := nextOf(t, w, onPods()); n.Phase != migrate.PhaseRolledBack {
		t.Errorf("phase %s after two rollbacks within a minute", n.Phase)
	}
}

// TestSlots: what nobody hurries holds no place that another workload could have.
func TestSlots(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		world  func() *world
		change func(*world)
		want   bool
	}{
		{"crossing", crossing, func(*world) {}, true},
		{"by its own next rollout", crossing, func(w *world) { w.m.Migration.Restart = desired.RestartNatural }, false},
		{"a Job that still runs", crossing, func(w *world) {
			w.workload().Kind, w.f.Pods[0].Owner.Kind, w.f.Pods[1].Owner.Kind = "Job", "Job", "Job"
		}, false},
		{"soaking", soaked, func(w *world) { w.m.Migration.Soak = 3 * time.Hour }, true},
		{"a mark of nobody's", crossing, func(w *world) { w.sa().Annotations[migrate.RolledBackMark] = "x" }, false},
		{"rolling back", crossing, marked, true},
	} {
		w := tt.world()
		tt.change(w)
		if words, n := nextOf(t, w, onPods()); n.Slot != tt.want {
			t.Errorf("%s (%s): holds a place: %t, want %t", tt.name, words, n.Slot, tt.want)
		}
	}
}

// TestConcurrency: no more workloads are on their way than the operator lets, and the
// least risky goes first.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	w := widened()
	second := identity.Subject{Namespace: "demo", ServiceAccount: "batch"}
	account := *w.sa()
	account.Name, account.UID = "batch", "s2"
	w.f.ServiceAccounts = append(w.f.ServiceAccounts, account)
	job := *w.workload()
	job.Kind, job.Name, job.ServiceAccount = "StatefulSet", "batch", "batch"
	w.f.Workloads = append(w.f.Workloads, job)
	other := w.m
	other.Subject, other.Name = second, "batch"
	g := trust.Grant{Mechanism: identity.PodIdentity, Subject: second, Cluster: identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws", Issuer: issuer}, SessionTags: true}
	w.role().TrustPolicy = strings.Replace(w.role().TrustPolicy, `"Statement":[`, `"Statement":[`+string(g.Statement())+",", 1)
	for _, tt := range []struct {
		pace desired.Pace
		want map[identity.Subject]string
	}{
		{desired.Pace{MaxConcurrent: 1, PerNamespace: 1}, map[identity.Subject]string{subject: "", second: "concurrency"}},
		{desired.Pace{MaxConcurrent: 2, PerNamespace: 1}, map[identity.Subject]string{subject: "", second: "concurrency"}},
		{desired.Pace{MaxConcurrent: 1, PerNamespace: 2}, map[identity.Subject]string{subject: "", second: "concurrency"}},
		{desired.Pace{MaxConcurrent: 2, PerNamespace: 2}, map[identity.Subject]string{subject: "", second: ""}},
	} {
		snap, err := live.New(w.f)
		if err != nil {
			t.Fatal(err)
		}
		mappings := []desired.Mapping{w.m, other}
		a := migrate.NewAssessor(snap, migrate.Options{Mappings: mappings})
		r := diff.Compare(desired.State{Mappings: mappings}, snap, diff.Options{})
		c := onPods()
		c.Pace = tt.pace
		next := a.Next(r.Judged, mappings, c)
		for s, want := range tt.want {
			n := next[s]
			var got []string
			for _, h := range n.Move.Holds {
				got = append(got, string(h.Reason))
			}
			if strings.Join(got, " ") != want || (want == "") != (len(n.Move.Steps) == 1) {
				t.Errorf("%+v: %s: holds %v, %d steps; want %q", tt.pace, s, got, len(n.Move.Steps), want)
			}
		}
	}
}
