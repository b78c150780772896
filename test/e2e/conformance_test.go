//go:build linux

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

// difference is a behaviour in which the sandbox is not like a real cluster: the lines
// that differ, and why nothing hangs on them.
type difference struct{ behaviour, sandbox, real, why string }

// knownDifferences are all that there are; docs/testing.md has the same list.
var knownDifferences = []difference{
	{"generations of a Deployment", "another selector: ok", "another selector: 422 Invalid [FieldValueInvalid spec.selector]",
		"the sandbox validates metadata only; nobody here changes a selector"},
	{"Events", "a long note: ok", "a long note: 422 Invalid [FieldValueInvalid message]",
		"the same; lanyard cuts notes to what is allowed, and the real cluster takes them"},
	{"lists in pages", "items, and more: 5 false", "items, and more: 2 true",
		"the fake has no pages; reads of many pages are client-go's own, and 5,000 ServiceAccounts are read from the real cluster"},
	{"a namespace that goes away", "it goes: false; sa: ", "it goes: true; get sa: 404 NotFound",
		"the sandbox has no namespace controller; what lanyard does then is tested on the real cluster"},
}

// claimsOf reads a token without checking it.
func claimsOf(token string) (claims tokenClaims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims, errors.New("no token")
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return claims, err
	}
	return claims, json.Unmarshal(data, &claims)
}

// sandboxed is an asker of the sandbox's Kubernetes, in which time goes on only while
// somebody waits.
func sandboxed(t *testing.T) *asker {
	t.Helper()
	clock := virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	cluster := kubed.New(kubed.Options{Clock: clock, Issuer: plane.Issuer})
	if err := cluster.Seed(actors.NewNode("ec2-1", actors.EC2), actors.NewNode("ec2-2", actors.EC2)); err != nil {
		t.Fatal(err)
	}
	life := actors.NewLife(actors.LifeOptions{Client: cluster.Client("kube-controller-manager"), Clock: clock, Region: "eu-west-1"})
	const ns = "e2e-sandbox"
	a := &asker{ctx: t.Context(), kube: cluster.Client("admin"), ns: ns, wait: func(done func() bool) bool {
		for range 300 {
			if done() {
				return true
			}
			if _, err := life.Step(t.Context()); err != nil {
				t.Error(err)
				return false
			}
			clock.Advance(time.Second)
		}
		return false
	}}
	if _, err := a.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	a.wait(func() bool {
		_, err := a.accounts().Get(a.ctx, "default", metav1.GetOptions{})
		return err == nil
	})
	return a
}

// onRealOne is an asker of the control plane.
func onRealOne(t *testing.T) *asker {
	t.Helper()
	client := adminClient(t)
	return &asker{ctx: t.Context(), kube: client, ns: namespace(t, client), wait: func(done func() bool) bool {
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if done() {
				return true
			}
		}
		return false
	}}
}

// lines that one has and the other has not, in their order.
func apart(one, other []string) string {
	var out []string
	for _, line := range one {
		if !slices.Contains(other, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}

// TestConformance: what the rest of the tests take the sandbox's Kubernetes for, a real
// control plane does. Each behaviour is asked of both; where the answers differ, the
// difference is known, as it is, and documented.
func TestConformance(t *testing.T) {
	plane.Need(t)
	known := map[string]difference{}
	for _, d := range knownDifferences {
		known[d.behaviour] = d
	}
	for _, b := range behaviours {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			fake, is := sandboxed(t), onRealOne(t)
			b.ask(fake)
			b.ask(is)
			d := known[b.name]
			got := difference{behaviour: d.behaviour, why: d.why, sandbox: apart(fake.said, is.said), real: apart(is.said, fake.said)}
			if d.behaviour == "" && slices.Equal(fake.said, is.said) {
				return
			}
			if got != d || got.sandbox == got.real {
				t.Errorf("the sandbox and a real cluster differ otherwise than is known:\n%s\nknown: %+v", cmp.Diff(fake.said, is.said), d)
			}
		})
	}
}

// TestDifferencesAreDocumented: docs/testing.md has a row for each known difference, and
// each is of a behaviour that is asked.
func TestDifferencesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, d := range knownDifferences {
		row := "| " + d.behaviour + " | " + d.sandbox + " | " + d.real + " | " + d.why + " |"
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/testing.md lacks the row:\n%s", row)
		}
		rows++
		if !slices.ContainsFunc(behaviours, func(b behaviour) bool { return b.name == d.behaviour }) {
			t.Errorf("%q is not a behaviour that is asked", d.behaviour)
		}
	}
	_, table, _ := strings.Cut(string(text), "| behaviour | the sandbox | a real cluster |")
	table, _, _ = strings.Cut(table, "\n\n")
	if have := strings.Count(table, "\n| "); have != rows {
		t.Errorf("docs/testing.md has %d knownDifferences, want %d", have, rows)
	}
}
