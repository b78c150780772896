//go:build nightly

package interop

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// TestBatch puts the made-up documents to the command as well, which must answer as the
// package does: what it leaves out (an organization, the time) is unknown, the tags are
// on, the source is the cluster, and undecidable is deny.
func TestBatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bin := filepath.Join(dir, "lanyard")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/lanyard").CombinedOutput(); err != nil {
		t.Fatalf("build lanyard: %v\n%s", err, out)
	}
	m := maker{rand.New(rand.NewPCG(seed, 2))}
	type item map[string]any
	var items []item
	var want []trust.Verdict
	for len(items) < 2000 {
		r := m.request()
		text := m.document(r.Mechanism == identity.PodIdentity)
		if low := strings.ToLower(text); strings.Contains(low, "aws:currenttime") || strings.Contains(low, "aws:epochtime") {
			continue // the command knows the time, this test does not
		}
		r.SessionTags, r.SourceARN, r.OrgID, r.Now = true, cluster, "", time.Time{}
		doc, err := trust.Parse(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want = append(want, doc.Evaluate(r))
		items = append(items, item{"id": strconv.Itoa(len(items)), "trustPolicy": json.RawMessage(text), "request": item{
			"mechanism": r.Mechanism.String(), "issuer": "https://" + host, "providerARN": r.Provider, "audience": r.Audience,
			"namespace": r.Subject.Namespace, "serviceAccount": r.Subject.ServiceAccount,
			"clusterARN": cluster, "accountID": r.Cluster.Account, "region": r.Cluster.Region, "partition": r.Cluster.Partition,
		}})
	}
	in, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "batch.json")
	if err := os.WriteFile(file, in, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), bin, "trust", "eval", "--batch", file).Output()
	if err != nil {
		t.Fatalf("lanyard trust eval --batch: %v", err)
	}
	var got []struct {
		ID, Decision string
		Reasons      []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("read what lanyard trust eval --batch wrote: %v\n%.300s", err, out)
	}
	if len(got) != len(want) {
		t.Fatalf("%d answers to %d questions", len(got), len(want))
	}
	for i, w := range want {
		decision := w.Decision
		if decision == trust.Undecidable {
			decision = trust.Deny
		}
		if g := got[i]; g.ID != strconv.Itoa(i) || g.Decision != decision.String() || len(g.Reasons) == 0 {
			t.Errorf("element %d: %s\n got  %+v\n want %v (%v: %s)", i, items[i]["trustPolicy"], g, decision, w.Decision, w.Reason)
		}
	}
}
