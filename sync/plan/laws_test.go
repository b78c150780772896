package plan_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

var worlds = flag.Int("worlds", 120, "how many generated worlds the law tests run")

// everyWorld runs a check after every round of many generated worlds, until each is
// at rest.
func everyWorld(t *testing.T, check func(t *testing.T, s *sim, before live.Facts, p plan.Plan)) {
	t.Parallel()
	for seed := range uint64(*worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := generated(t, seed)
			s.rest(func(before live.Facts, p plan.Plan) { check(t, s, before, p) })
		})
	}
}

// TestLaw1NoPodLosesAccess: stop lanyard after any step, and every live pod that could
// assume its role before the step still can, and so can a pod that is admitted now.
func TestLaw1NoPodLosesAccess(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := generated(t, seed)
			s.step = func(before *live.Snapshot, step plan.Step) {
				after := s.snapshot()
				for _, pod := range before.Facts().Pods {
					was, is := mayAssume(before, pod), mayAssume(after, pod)
					for i := range was {
						if was[i] && !is[i] {
							t.Errorf("pod %s could assume its role, and cannot after %v", pod.Name, step.Action)
						}
					}
				}
				for _, m := range s.state.Mappings {
					if mayAssume(before, admitted(before, m.Subject))[0] && !mayAssume(after, admitted(after, m.Subject))[0] {
						t.Errorf("a pod of %s admitted now would get no credentials after %v", m.Subject, step.Action)
					}
				}
			}
			s.rest(func(live.Facts, plan.Plan) {})
		})
	}
}

// admitted returns the pod that the webhook would make now.
func admitted(s *live.Snapshot, subject identity.Subject) live.Pod {
	p := live.Pod{Namespace: subject.Namespace, ServiceAccount: subject.ServiceAccount, Containers: []live.Container{{Credential: live.CredentialNone}}}
	if _, presence := s.Association(subject); presence == live.Present {
		p.Containers[0].Credential = live.CredentialPodIdentity
		return p
	}
	a, _ := s.ServiceAccount(subject)
	if role := a.Annotations[diff.AnnotationRole]; role != "" {
		p.Containers[0] = live.Container{Credential: live.CredentialIRSA, Role: role, Audience: cmp.Or(a.Annotations[diff.AnnotationAudience], diff.DefaultAudience)}
	}
	return p
}

// mayAssume judges each container of a pod against the live trust policies.
func mayAssume(s *live.Snapshot, pod live.Pod) []bool {
	out := make([]bool, len(pod.Containers))
	for i, c := range pod.Containers {
		r := trust.Request{Subject: pod.Subject(), Cluster: cluster}
		arn := identity.RoleARN{}
		switch c.Credential {
		case live.CredentialIRSA:
			r.Mechanism, r.Provider, r.Audience = identity.IRSA, providerARN(), c.Audience
			arn, _ = identity.ParseRoleARN(c.Role)
		case live.CredentialPodIdentity:
			a, presence := s.Association(pod.Subject())
			if presence != live.Present {
				continue
			}
			r.Mechanism, r.SessionTags, arn = identity.PodIdentity, !a.SessionTagsOff, a.Role
		}
		if doc, presence, err := s.Trust(arn); presence == live.Present && err == nil {
			out[i] = doc.Evaluate(r).Decision == trust.Allow
		}
	}
	return out
}

// TestLaw2UnknownIsNotAbsent: nothing is planned about a subject with a missing fact.
func TestLaw2UnknownIsNotAbsent(t *testing.T) {
	everyWorld(t, func(t *testing.T, s *sim, before live.Facts, p plan.Plan) {
		snap, err := live.New(before)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range p.Steps {
			_, a := snap.Association(step.Subject)
			_, b := snap.ServiceAccount(step.Subject)
			_, c := snap.Pods(step.Subject)
			if m, named := s.state.Mapping(step.Subject); named {
				_, d := snap.Role(m.Role)
				if d == live.Unknown {
					t.Errorf("step %v: role %s is unknown", step.Action, m.Role)
				}
			}
			if a == live.Unknown || b == live.Unknown || c == live.Unknown {
				t.Errorf("step %v although association is %v, ServiceAccount %v, pods %v", step.Action, a, b, c)
			}
		}
	})
}

// TestLaw3ForeignThingsSurvive: statements without our Sid survive to the byte, and
// annotations and associations of others are changed only where a mapping adopts them.
func TestLaw3ForeignThingsSurvive(t *testing.T) {
	everyWorld(t, func(t *testing.T, s *sim, before live.Facts, p plan.Plan) {
		for i, r := range before.Roles {
			if was, is := foreign(t, r), foreign(t, s.facts.Roles[i]); !slices.Equal(was, is) {
				t.Errorf("foreign statements of %s changed:\nwas %s\nis  %s", r.ARN, was, is)
			}
		}
		for _, a := range before.ServiceAccounts {
			now := s.facts.ServiceAccounts[slices.IndexFunc(s.facts.ServiceAccounts, func(x live.ServiceAccount) bool { return x.Subject() == a.Subject() })]
			m, _ := s.state.Mapping(a.Subject())
			for key, value := range a.Annotations {
				if now.Annotations[key] != value && diff.OwnerOfAnnotation(a, key) != diff.FieldManager && !m.Adopt.Annotation {
					t.Errorf("annotation %s of %s was %s's and changed", key, a.Subject(), diff.OwnerOfAnnotation(a, key))
				}
			}
		}
		for _, a := range before.Associations {
			i := slices.IndexFunc(s.facts.Associations, func(x live.Association) bool { return x.ID == a.ID })
			same := i >= 0 && s.facts.Associations[i].ModifiedAt.Equal(a.ModifiedAt) && maps.Equal(s.facts.Associations[i].Tags, a.Tags)
			m, _ := s.state.Mapping(a.Subject())
			if !same && (a.OwnerARN != "" || !diff.Ours(a, cluster) && !m.Adopt.Association) {
				t.Errorf("association %s is not ours, and changed", a.ID)
			}
		}
	})
}

func foreign(t *testing.T, r live.Role) []string {
	doc, err := trust.Parse(r.TrustPolicy)
	if err != nil {
		return []string{r.TrustPolicy}
	}
	var out []string
	for _, st := range doc.Statements() {
		if !trust.IsLanyardSid(st.Sid) {
			out = append(out, string(st.Raw))
		}
	}
	return out
}

// TestLaw4ConvergeAndRest: at rest, another pass over the same world plans nothing,
// with the memory kept or lost.
func TestLaw4ConvergeAndRest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := generated(t, seed)
			s.rest(func(live.Facts, plan.Plan) {})
			if p := s.round(); len(p.Steps) != 0 {
				t.Errorf("a second pass plans %v", p.Steps)
			}
			s.memory = plan.Memory{}
			s.rest(func(_ live.Facts, p plan.Plan) {
				for _, step := range p.Steps {
					if !step.Removes() { // removals that the budget of the hour held may go on after a restart
						t.Errorf("after a restart at rest, %v is planned", step.Action)
					}
				}
			})
		})
	}
}

// TestLaw5RemovalsAreBounded: no sliding hour sees more removals than the budget.
func TestLaw5RemovalsAreBounded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := generated(t, seed)
			var removals []time.Time
			if s.policy.RemovalsPerHour == 0 {
				t.Skip("with a budget of none the plan waits for ever")
			}
			s.rest(func(before live.Facts, p plan.Plan) {
				for _, step := range p.Steps {
					if step.Removes() {
						removals = append(removals, before.TakenAt)
					}
				}
			})
			for i := s.policy.RemovalsPerHour; i < len(removals); i++ {
				if d := removals[i].Sub(removals[i-s.policy.RemovalsPerHour]); d < time.Hour {
					t.Errorf("%d removals within %v", s.policy.RemovalsPerHour+1, d)
				}
			}
		})
	}
}

// TestLaw6WidenCrossNarrow: a round takes steps of one effect and plane for a subject,
// and what pods are to rely on has been judged allow for settle before it is asked for.
func TestLaw6WidenCrossNarrow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := generated(t, seed)
			allowed := map[identity.Subject]time.Time{} // since when the trust that Git asks for allows
			s.rest(func(before live.Facts, p plan.Plan) {
				snap, err := live.New(before)
				if err != nil {
					t.Fatal(err)
				}
				for _, j := range diff.Compare(s.state, snap, s.policy.Diff).Judged {
					if j.Trust.Decision != trust.Allow {
						delete(allowed, j.Mapping.Subject)
					} else if allowed[j.Mapping.Subject].IsZero() {
						allowed[j.Mapping.Subject] = before.TakenAt
					}
				}
				effects := map[identity.Subject]plan.Effect{}
				for _, step := range p.Steps {
					if e, more := effects[step.Subject]; more && e != step.Effect {
						t.Errorf("%s: %s and %s in one round", step.Subject, e, step.Effect)
					}
					effects[step.Subject] = step.Effect
					if since := allowed[step.Subject]; step.Effect == plan.Cross && (since.IsZero() || before.TakenAt.Sub(since) < s.policy.Settle) {
						t.Errorf("%v although its trust has been seen to allow since %v only", step.Action, since)
					}
				}
			})
		})
	}
}

// TestNothingIsLeftUnsaid: every difference is acted upon in the round, or a hold says
// why it is not.
func TestNothingIsLeftUnsaid(t *testing.T) {
	everyWorld(t, func(t *testing.T, s *sim, before live.Facts, p plan.Plan) {
		snap, err := live.New(before)
		if err != nil {
			t.Fatal(err)
		}
		said := map[identity.Subject]bool{}
		for _, step := range p.Steps {
			said[step.Subject] = true
		}
		for _, h := range p.Holds {
			said[h.Subject] = true
		}
		for _, f := range diff.Compare(s.state, snap, s.policy.Diff).Findings {
			if f.Severity != diff.Info && !said[f.Subject] {
				t.Errorf("neither a step nor a hold speaks of %v", f)
			}
		}
	})
}

// TestGeneratedWorldsReachEveryAction guards the law tests against generating worlds
// in which nothing ever happens.
func TestGeneratedWorldsReachEveryAction(t *testing.T) {
	t.Parallel()
	seen, held := map[string]int{}, map[plan.Reason]int{}
	for seed := range uint64(*worlds) {
		s := generated(t, seed)
		s.rest(func(_ live.Facts, p plan.Plan) {
			for _, step := range p.Steps {
				seen[step.Action.Kind()]++
			}
			for _, h := range p.Holds {
				held[h.Reason]++
			}
		})
	}
	for _, a := range []plan.Action{plan.PutTrustStatement{}, plan.DropTrustStatement{}, plan.SetAnnotation{}, plan.DropAnnotation{},
		plan.CreateAssociation{}, plan.UpdateAssociation{}, plan.DeleteAssociation{}} {
		if seen[a.Kind()] == 0 {
			t.Errorf("no generated world takes %s", a.Kind())
		}
	}
	t.Logf("actions %v", seen)
	t.Logf("holds %v", held)
}
