package prober_test

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/prober"
)

// Each way to take a pod's credentials away is caught, and laid to its plane.

func TestCatchesTrustStatementRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.trust(irsaRole, noTrust)
	w.want("broken:irsa:irsa:trust:AccessDenied")
	w.trust(irsaRole, irsaTrust())
	w.want("")
	w.trust(podRole, noTrust)
	w.want("") // The agent still has credentials for the pod that runs,
	w.restart("pod")
	w.want("broken:pod:pod-identity:trust:AccessDeniedException") // and none for the next one.
}

func TestCatchesAssociationDeletedAndPodRecreated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.Webhook.SetDelay(time.Minute)
	w.AWS.DeleteAssociation(w.ARN, "demo", "pod")
	w.want("")
	w.restart("pod")
	w.want("broken:pod:pod-identity:association:ResourceNotFoundException")
	w.must(w.Pass(t.Context(), time.Minute))
	w.restart("pod")
	w.want("broken:pod:none:pods:")
	w.annotate("pod", `"eks.amazonaws.com/role-arn":"`+irsaRole+`"`)
	w.must(w.Pass(t.Context(), time.Minute))
	w.restart("pod")
	w.want("broken:pod:irsa:trust:AccessDenied")
}

func TestCatchesProviderRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.AWS.DeleteProvider(provider)
	w.want("broken:irsa:irsa:trust:InvalidIdentityToken")
}

func TestCatchesWrongAudience(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.annotate("irsa", `"eks.amazonaws.com/audience":"vault"`)
	w.want("") // The pod that runs has its token.
	w.restart("irsa")
	w.want("broken:irsa:irsa:service-account:InvalidIdentityToken")
	w.annotate("irsa", `"eks.amazonaws.com/audience":null`)
	w.restart("irsa")
	w.want("")
	w.must(w.AWS.PutProvider(awsd.Provider{ARN: provider, ClientIDs: []string{"vault"}}))
	w.want("broken:irsa:irsa:trust:InvalidIdentityToken")
}

func TestCatchesAgentAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.must(w.kube.AppsV1().DaemonSets("kube-system").Delete(t.Context(), actors.AgentName, metav1.DeleteOptions{}))
	w.must(w.Pass(t.Context(), time.Minute))
	w.must(w.fleet.Follow(t.Context(), w.kube))
	w.want("broken:pod:pod-identity:agent:")
}

func TestCatchesRoleDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.AWS.DeleteRole(irsaRole)
	w.want("broken:irsa:irsa:trust:AccessDenied")
	w.AWS.DeleteRole(podRole)
	w.want("broken:irsa:irsa:trust:AccessDenied")
	w.restart("pod")
	w.want("broken:irsa:irsa:trust:AccessDenied broken:pod:pod-identity:trust:AccessDeniedException")
}

// A cold prober does not wait for a cache to turn.
func TestColdSeesWhatACacheHides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *prober.Options) { o.Cold = true })
	w.trust(podRole, noTrust)
	w.want("broken:pod:pod-identity:trust:AccessDeniedException")
	w.trust(podRole, podTrust)
	w.AWS.DeleteAssociation(w.ARN, "demo", "pod")
	w.want("broken:pod:pod-identity:association:ResourceNotFoundException")
}

// A warm one does, for three hours.
func TestWarmLivesOnTheAgentsCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.AWS.DeleteAssociation(w.ARN, "demo", "pod")
	w.Clock.Advance(3*time.Hour - time.Second)
	w.want("")
	w.Clock.Advance(time.Second)
	w.want("broken:pod:pod-identity:association:ResourceNotFoundException")
}

// Tokens are renewed as the kubelet does, so that a pod of many days keeps its access.
func TestTokensAreRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 8 {
		w.Clock.Advance(6 * time.Hour)
		w.want("")
	}
}

func TestCatchesAWrongRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *prober.Options) {
		o.Roles = func(pod *corev1.Pod) []string {
			if pod.Spec.ServiceAccountName == "pod" {
				return []string{podRole}
			}
			return []string{"arn:aws:iam::123456789012:role/another", irsaRole}
		}
	})
	const other = "arn:aws:iam::123456789012:role/another"
	w.trust(other, podTrust)
	_, err := w.AWS.PutAssociation(awsd.Association{Cluster: w.ARN, Namespace: "demo", ServiceAccount: "pod", RoleARN: other})
	w.must(err)
	w.restart("pod")
	w.want("broken:pod:pod-identity:association:")
}

// Exposed are the pods that a crossing back's delete took the association from: those that
// run, and those admitted since with the old variables. Nobody else, and not for longer.
func TestExposed(t *testing.T) {
	t.Parallel()
	const gone = "pod:pod-identity:association:ResourceNotFoundException"
	w := newWorld(t, func(o *prober.Options) { o.Cold = true })
	w.Webhook.SetDelay(time.Minute)
	w.AWS.DeleteAssociation(w.ARN, "demo", "pod")
	deleted := w.Clock.Now()
	w.want("broken:" + gone) // Nobody said that it was a crossing back,
	w.prober.Deleted("demo", "pod", deleted, false)
	if r := w.prober.Report(); len(r.Broken) != 0 || len(r.Exposed) != 1 {
		t.Errorf("told afterwards: %d broken, %d exposed, want the one exposed", len(r.Broken), len(r.Exposed))
	}
	w.restart("pod") // The webhook still shows the association.
	w.want("exposed:" + gone)
	w.trust(irsaRole, noTrust)
	w.want("broken:irsa:irsa:trust:AccessDenied exposed:" + gone) // Others are not excused.
	w.trust(irsaRole, irsaTrust())
	w.prober.Restarted("demo", "pod", w.Clock.Now())
	w.want("broken:" + gone)
}

// A pod that was admitted bare has lost its access for good: no delete excuses that.
func TestExposedAreOnlyPodsWithTheOldVariables(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.AWS.DeleteAssociation(w.ARN, "demo", "pod")
	w.prober.Deleted("demo", "pod", w.Clock.Now(), true)
	w.restart("pod")
	w.want("broken:pod:none:pods:")
}

// In a rollback nobody restarts a bare pod: it is exposed to its end.
func TestExposedToTheirEndInARollback(t *testing.T) {
	t.Parallel()
	for _, rollback := range []bool{true, false} {
		w := newWorld(t, func(o *prober.Options) { o.Cold = true })
		w.bare("pod-alone", "pod", "node-1")
		w.want("")
		w.AWS.DeleteAssociation(w.ARN, "demo", "pod")
		w.prober.Deleted("demo", "pod", w.Clock.Now(), rollback)
		w.annotate("pod", `"eks.amazonaws.com/role-arn":"`+irsaRole+`"`)
		w.trust(irsaRole, strings.Replace(strings.Replace(irsaTrust(), "demo:irsa", "demo:*", 1), "StringEquals", "StringLike", 1))
		w.restart("pod")
		w.Clock.Advance(time.Second)
		w.prober.Restarted("demo", "pod", w.Clock.Now())
		want := "broken:pod:pod-identity:association:ResourceNotFoundException"
		if rollback {
			want = strings.Replace(want, "broken", "exposed", 1)
		}
		w.want(want)
	}
}

// The first two minutes of a node whose agent is not ready are booked apart.
func TestYoungNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.must(w.Kube.Seed(actors.NewNode("node-3", actors.EC2)))
	w.bare("pod-young", "pod", "node-3")
	w.want("young:pod:pod-identity:agent:")
	w.Clock.Advance(2 * time.Minute)
	w.want("broken:pod:pod-identity:agent:")
	w.must(w.fleet.Start("node-3"))
	w.want("")
	// An agent that is ready excuses nothing.
	w.must(w.Kube.Seed(actors.NewNode("node-4", actors.EC2)))
	w.must(w.fleet.Start("node-4"))
	w.trust(podRole, noTrust)
	w.bare("pod-younger", "pod", "node-4")
	w.want("broken:pod:pod-identity:trust:AccessDeniedException")
	w.trust(podRole, podTrust)
	w.fleet.Stop("node-4") // Nor does one that was, and has gone.
	w.want("broken:pod:pod-identity:agent:")
}

// Law 1 holds once a wiring has worked.
func TestUnproven(t *testing.T) {
	t.Parallel()
	w := load(t, snapshot(), nil)
	w.trust(irsaRole, noTrust)
	w.want("unproven:irsa:irsa:trust:AccessDenied")
	w.bare("plain", "default", "node-1")
	w.want("unproven:irsa:irsa:trust:AccessDenied") // A pod without wiring is nobody's concern.
	w.trust(irsaRole, irsaTrust())
	w.want("")
	w.trust(irsaRole, noTrust)
	w.want("broken:irsa:irsa:trust:AccessDenied")
}

func TestNamed(t *testing.T) {
	t.Parallel()
	w := load(t, snapshot(), func(o *prober.Options) {
		o.Named = func(namespace, serviceAccount string) bool { return namespace == "demo" && serviceAccount == "pod" }
	})
	w.want("")
	w.AWS.DeleteRole(irsaRole)
	w.want("")
	if n := len(w.prober.Last()); n != 1 {
		t.Errorf("%d probes, want the one that is named", n)
	}
}

// What the prober gets over the wire is what the sandbox's oracle says by judgement.
func TestAgreesWithTheOracle(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../examples/live.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	w := load(t, data, nil)
	grants, err := w.Credentials(t.Context())
	w.must(err)
	probes, err := w.prober.Round(t.Context())
	w.must(err)
	if len(probes) != len(grants) {
		t.Errorf("%d probes, %d grants", len(probes), len(grants))
	}
	for _, g := range grants {
		i := slices.IndexFunc(probes, func(p prober.Probe) bool {
			return p.Namespace == g.Namespace && p.Pod == g.Pod && p.Container == g.Container
		})
		if i < 0 {
			t.Errorf("%s/%s: not probed", g.Namespace, g.Pod)
			continue
		}
		p := probes[i]
		name := g.Role[strings.LastIndexByte(g.Role, '/')+1:]
		if string(p.Mechanism) != g.Mechanism || p.Failed != (g.Role == "") || !p.Failed && !strings.Contains(p.Session, ":assumed-role/"+name+"/") {
			t.Errorf("the oracle says %+v, the prober %s", g, p)
		}
	}
}

// A pod that went away while it was probed has lost nothing.
func TestPodsThatGoAreNotJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.trust(irsaRole, noTrust)
	lift := w.AWS.AddFault(awsd.Fault{Service: "sts", Operation: "AssumeRoleWithWebIdentity", Kind: awsd.Answer, Code: "AccessDenied", Match: func(awsd.Call) bool {
		for _, p := range w.prober.Last() {
			if p.ServiceAccount == "irsa" {
				_ = w.Client("reaper").CoreV1().Pods("demo").Delete(context.Background(), p.Pod, metav1.DeleteOptions{})
			}
		}
		return true
	}})
	defer lift()
	w.want("")
}

func TestRoundFailsWithoutAList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *prober.Options) { o.Before = func(ctx context.Context) error { return ctx.Err() } })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := w.prober.Report()
	if probes, err := w.prober.Round(ctx); err == nil {
		t.Errorf("got %v, want an error", probes)
	}
	if after := w.prober.Report(); after.Probes != before.Probes {
		t.Error("a round that failed was booked")
	}
}

// Not parallel: it looks at the goroutines of the whole process.
func TestStartAndClose(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.prober.Start(time.Millisecond, func(err error) { t.Error(err) }))
	if err := w.prober.Start(time.Millisecond, nil); err == nil {
		t.Error("start twice: got no error")
	}
	before := w.prober.Report().Probes
	for range 1000 {
		if w.prober.Report().Probes > before+4 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.must(w.prober.Close())
	w.must(w.prober.Close())
	after := w.prober.Report()
	if after.Probes <= before+4 || len(after.Broken) != 0 {
		t.Errorf("%d probes, %v broken, want more than %d and none", after.Probes, after.Broken, before+4)
	}
	var left string
	for range 100 {
		buf := make([]byte, 1<<20)
		left = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(left, "prober.(*Prober)") && !strings.Contains(left, "http.(*persistConn)") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("after Close something runs:\n%s", left)
}
