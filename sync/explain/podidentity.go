package explain

import (
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
)

// inTheWay are the reasons of package migrate against Pod Identity that break it for pods
// which are on it too, by their links. Those that a comparison finds are not among them.
var inTheWay = map[migrate.Code]string{
	migrate.EnvOverride:             "pods",
	migrate.VolumeConflict:          "pods",
	migrate.SDKTooOld:               "pods",
	migrate.NodeRoleLacksPermission: "agent",
	migrate.ProxyWithoutExemption:   "agent",
	migrate.NetworkPolicy:           "agent", // whether it is enforced is not known
}

// hindered adds what stands between pods and an agent that is ready.
func (w *walk) hindered(l *Link) {
	if w.mechanism() != identity.PodIdentity || l.Name != "pods" && l.Name != "agent" {
		return
	}
	if w.assessed == nil {
		a := migrate.Assess(w.j.Mapping, w.snap, migrate.Options{OrganizationID: w.opts.Policy.Diff.OrganizationID, Brief: true})
		w.assessed = &a
	}
	for _, r := range w.assessed.Reasons {
		if inTheWay[r.Code] != l.Name {
			continue
		}
		switch {
		case r.Code != migrate.NetworkPolicy:
			l.State = Broken
		case l.State == Good:
			l.State = Unknown
		}
		l.Says = strings.TrimPrefix(l.Says+"; "+r.Message, "; ")
		for _, f := range r.Facts {
			l.Evidence = append(l.Evidence, string(r.Code)+": "+f.String())
		}
		l.Fix = append(l.Fix, r.Fix)
	}
}
