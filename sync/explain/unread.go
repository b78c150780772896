package explain

import (
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/sync/live"
)

// readBy says which missing facts leave a link unknown: the beginnings of what
// [diff.Judged].Unknown has.
var readBy = map[string][]string{
	"service-account": {"ServiceAccount", "namespace"},
	"wiring":          {"ServiceAccount", "Pod Identity association"},
	"pods":            {"pods"},
	"oidc-provider":   {"OIDC provider "},
	"role":            {"role ", "target role "},
	"trust":           {"role ", "target role "},
}

// sourcesOf are the reads behind a link: what has no answer there is why it is unknown.
var sourcesOf = map[string][]live.Source{
	"service-account": {live.SourceServiceAccounts, live.SourceNamespaces},
	"wiring":          {live.SourceServiceAccounts, live.SourceListAssociations, live.SourceDescribeAssociation},
	"webhook":         {live.SourceWebhook},
	"pods":            {live.SourcePods},
	"agent":           {live.SourceNodes, live.SourcePods},
	"oidc-provider":   {live.SourceListProviders, live.SourceProvider, live.SourceAssumeRole},
	"role":            {live.SourceRole, live.SourceRoles, live.SourceAuthorizationDetails, live.SourceAssumeRole},
	"trust":           {live.SourceRole, live.SourceRoles, live.SourceAuthorizationDetails, live.SourceAssumeRole},
	"chained-roles":   {live.SourceRole, live.SourceRoles, live.SourceAuthorizationDetails, live.SourceAssumeRole},
}

// missing names what was not read of a link; empty where all was.
func (w *walk) missing(name string) string {
	if w.j != nil {
		for _, u := range w.j.Unknown {
			for _, begins := range readBy[name] {
				if strings.HasPrefix(u, begins) {
					return u
				}
			}
		}
	} else if _, presence := w.snap.ServiceAccount(w.subject); presence == live.Unknown && name != "git" && name != "webhook" {
		return "ServiceAccount"
	} else if _, presence := w.snap.Association(w.subject); presence == live.Unknown && name == "wiring" {
		return "Pod Identity association"
	}
	if name == "oidc-provider" {
		if _, presence := w.snap.Provider(w.provider()); presence == live.Unknown {
			return "OIDC provider " + w.provider()
		}
	}
	if name == "webhook" || name == "agent" {
		for _, source := range sourcesOf[name] {
			if w.snap.Unread(source) {
				return string(source)
			}
		}
	}
	return ""
}

// unread makes a link unknown, with why the read had no answer and what gives it one.
func (w *walk) unread(l *Link, missing string) {
	l.State, l.Says = Unknown, "not read: "+missing
	var reasons []live.GapReason
	for _, g := range w.snap.Gaps() {
		if slices.Contains(sourcesOf[l.Name], g.Source) {
			l.Evidence = append(l.Evidence, g.String())
			reasons = append(reasons, g.Reason)
		}
	}
	switch {
	case len(reasons) == 0 || slices.Contains(reasons, live.GapRefused):
		l.Fix = append(l.Fix, "grant what `lanyard policy` prints, and look again")
	case slices.Contains(reasons, live.GapUnconfigured):
		l.Fix = append(l.Fix, "name the role by which that account is read under accounts: of the configuration, and look again with --config")
	default:
		l.Fix = append(l.Fix, "look again: the read failed, or was told to slow down")
	}
}
