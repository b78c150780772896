package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/forge"
	"github.com/lanyard-io/lanyard/internal/hook"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

func text[T ~string](list []T) []string {
	var out []string
	for _, word := range list {
		out = append(out, string(word))
	}
	return out
}

// TestLists compares the closed lists with those of the packages that own the words.
func TestLists(t *testing.T) {
	t.Parallel()
	var schema struct {
		Defs struct {
			Step     struct{ Properties struct{ Action, Effect enum } }
			Severity enum
			Class    enum
		} `json:"$defs"`
	}
	data, err := os.ReadFile("../docs/schemas/diff.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	var effectWords []string
	for _, e := range effects {
		effectWords = append(effectWords, e.String())
	}
	var kinds []string
	for _, p := range planes {
		kinds = append(kinds, p.kinds...)
		for _, kind := range p.kinds {
			if plane, _ := planeOf(kind); plane != string(diff.Kind(kind).Plane()) {
				t.Errorf("%s is on plane %s, want %s", kind, plane, diff.Kind(kind).Plane())
			}
		}
	}
	faults := text([]gitsource.Fault{gitsource.FaultUnsigned, gitsource.FaultMalformed, gitsource.FaultUnknownKey, gitsource.FaultExpired, gitsource.FaultNotYet,
		gitsource.FaultRevoked, gitsource.FaultNamespace, gitsource.FaultWrong})
	var phaseWords []string
	for _, p := range migrate.Phases() {
		if p != migrate.PhaseSettled {
			phaseWords = append(phaseWords, p.String())
		}
	}
	for _, tt := range []struct {
		name      string
		got, want []string
	}{
		{"identities", identities, text(migrate.IdentityResults())},
		{"shown", shown, text(forge.Whats())},
		{"shownAs", shownAs, text(forge.Results())},
		{"phases", slices.Sorted(slices.Values(phases)), slices.Sorted(slices.Values(phaseWords))},
		{"kinds", kinds, text(diff.Kinds())},
		{"modes", modes, text([]desired.Mode{desired.ModeObserve, desired.ModeRepair, desired.ModeMigrate})},
		{"mechanisms", mechanisms, []string{identity.IRSA.String(), identity.PodIdentity.String(), "unresolved"}},
		{"severities", severities, text([]diff.Severity{diff.Critical, diff.Warning, diff.Info})},
		{"remedies", remedies, []string{remedy.Retry.String(), remedy.Replan.String(), remedy.Hold.String(), remedy.Halt.String()}},
		{"classes", classes, schema.Defs.Class.Enum},
		{"providers", providers, text(hook.Providers())},
		{"deliveries", deliveries, text(hook.Results())},
		{"heads", heads, append(text(desired.HeldReasons()), Other)},
		{"looks", looks, append([]string{"followed"}, heads...)},
		{"signatures", signatures, append(append([]string{"good"}, faults...), Other)},
		{"actions", actions(), schema.Defs.Step.Properties.Action.Enum},
		{"effects", effectWords, schema.Defs.Step.Properties.Effect.Enum},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-owner +metrics)\n%s", tt.name, diff)
		}
	}
}

type enum struct {
	Enum []string `json:"enum"`
}

// TestHostCodes: each answer of a host has a word of the list.
func TestHostCodes(t *testing.T) {
	t.Parallel()
	met := map[string]bool{}
	for code := range 700 {
		word := hostCode(code)
		if met[word] = true; !slices.Contains(hostCodes, word) {
			t.Errorf("%d is %q, which is not on the list", code, word)
		}
	}
	if len(met) != len(hostCodes) {
		t.Errorf("met %v, want all of %v", met, hostCodes)
	}
	for code, want := range map[int]string{0: "none", 200: "ok", 204: "ok", 301: "redirected", 304: "unchanged", 401: "unauthorized", 403: "forbidden", 404: "not-found", 422: "invalid", 429: "too-many", 502: "error"} {
		if got := hostCode(code); got != want {
			t.Errorf("%d is %q, want %q", code, got, want)
		}
	}
}

// TestSources: every source is one that package live reads.
func TestSources(t *testing.T) {
	t.Parallel()
	met := map[live.Source]bool{}
	for _, source := range sources {
		var read live.Source
		if err := read.UnmarshalText([]byte(source)); err != nil || met[source] {
			t.Errorf("%s: %v, met %t", source, err, met[source])
		}
		met[source] = true
	}
	declared, err := os.ReadFile("../sync/live/presence.go")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^\tSource\w+ +Source += "([a-zA-Z0-9:-]+)"`).FindAllStringSubmatch(string(declared), -1)
	for _, m := range all {
		if !met[live.Source(m[1])] {
			t.Errorf("%s counts as %s", m[1], Other)
		}
	}
	if len(all) < 20 {
		t.Errorf("%d sources found in package live", len(all))
	}
}

// TestCountedServices: a service is counted under one name, whoever names it.
func TestCountedServices(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{"IAM": "iam", "EKS": "eks", "EKS Auth": "eks-auth", "eks-auth": "eks-auth", "CloudTrail": "cloudtrail", "S3": Other, "": Other} {
		if got := serviceLabel(word); got != want {
			t.Errorf("%q counts as %q, want %q", word, got, want)
		}
	}
	New(prometheus.NewRegistry(), Options{})
}
