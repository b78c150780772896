package desired

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// For returns what the revision says about one cluster: the mappings whose
// clusters match its name, with their templates expanded. Its error is [Errors]:
// two mappings for one ServiceAccount or of one name, and ARNs that are malformed
// with this cluster's values.
func (r *Repository) For(c identity.Cluster) (State, error) {
	s := State{Revision: r.revision, Cluster: c.Name, Skipped: r.counts.Skipped}
	var errs collector
	for _, d := range r.drafts {
		if len(d.clusters) > 0 && !anyGlob(d.clusters, c.Name) {
			continue
		}
		m, good := d.mapping, true
		values := valuesOf(c, m.Subject)
		m.Role, good = d.role.expand(values, m.Key(), &errs)
		if d.target.text != "" && good {
			m.PodIdentity.TargetRole, good = d.target.expand(values, m.Key(), &errs)
		}
		if good {
			s.Mappings = append(s.Mappings, m)
		}
	}
	slices.SortStableFunc(s.Mappings, func(a, b Mapping) int {
		return cmp.Or(a.Subject.Compare(b.Subject), a.At.Compare(b.At))
	})
	oneEach(s.Mappings, c.Name, &errs)
	for _, d := range r.waivers {
		w, good := d.waiver, true
		if d.role.text != "" {
			w.Role, good = d.role.expand(valuesOf(c, identity.Subject{}), "the waiver", &errs)
		}
		if good {
			s.Waivers = append(s.Waivers, w)
		}
	}
	if err := errs.errs.orNil(); err != nil {
		return State{}, err
	}
	return s, nil
}

// oneEach reports mappings that share a ServiceAccount, or a key, which marks
// what lanyard makes for a mapping and so must name one.
func oneEach(mappings []Mapping, cluster string, errs *collector) {
	names := map[string]Mapping{}
	for i, m := range mappings {
		first, twice := names[m.Key()]
		switch {
		case i > 0 && mappings[i-1].Subject == m.Subject:
			errs.add(m.At, fmt.Sprintf("a second mapping for ServiceAccount %s in cluster %s, the first is at %s", m.Subject, cluster, mappings[i-1].At), apart)
		case twice:
			errs.add(m.At, fmt.Sprintf("a second mapping of the name %s in cluster %s, the first is at %s", m.Key(), cluster, first.At), "rename one")
		default:
			names[m.Key()] = m
		}
	}
}

// apart is what to do about two mappings that mean the same.
const apart = "delete one, or give them clusters that do not overlap"

// expand returns the role that a template stands for.
func (t template) expand(values func(string) (string, bool), of string, errs *collector) (identity.RoleARN, bool) {
	missing := ""
	text, bad := expand(t.text, func(variable string) (string, bool) {
		v, ok := values(variable)
		if !ok && missing == "" {
			missing = variable
		}
		return v, ok
	})
	if bad != nil {
		errs.add(t.at, fmt.Sprintf("%s %s of %s needs ${%s}, which is not known here", t.path, quote(t.text), of, printable(missing)), "write its value")
		return identity.RoleARN{}, false
	}
	role, err := identity.ParseRoleARN(text)
	if err != nil {
		what, instead := roleFault(text, err)
		errs.add(t.at, fmt.Sprintf("%s %s of %s%s", t.path, quote(text), of, what), instead)
		return identity.RoleARN{}, false
	}
	return role, true
}

// Check says what is wrong whatever the cluster: mappings for one ServiceAccount
// whose clusters certainly overlap, and ARNs that are malformed for a cluster
// named there, or for any. Its error is [Errors]. [Repository.For] finds the rest.
func (r *Repository) Check() error {
	var errs collector
	for _, d := range r.drafts {
		values := valuesOf(someCluster(d.longestName()), d.mapping.Subject)
		if _, good := d.role.expand(values, d.mapping.Key(), &errs); good && d.target.text != "" {
			d.target.expand(values, d.mapping.Key(), &errs)
		}
	}
	for _, w := range r.waivers {
		if w.role.text != "" {
			w.role.expand(valuesOf(someCluster("x"), identity.Subject{}), "the waiver", &errs)
		}
	}
	drafts := slices.Clone(r.drafts)
	slices.SortStableFunc(drafts, func(a, b draft) int { return a.mapping.At.Compare(b.mapping.At) })
	bySubject, byKey := map[identity.Subject]*crowd{}, map[string]*crowd{}
	budget := 1_000_000 // comparisons of globs; what is beyond, For finds for its cluster
	for _, d := range drafts {
		m := d.mapping
		if first, ok := joined(bySubject, m.Subject).add(d, &budget); ok {
			errs.add(m.At, fmt.Sprintf("a second mapping for ServiceAccount %s, the first is at %s", m.Subject, first), apart)
		} else if first, ok := joined(byKey, m.Key()).add(d, &budget); ok {
			errs.add(m.At, fmt.Sprintf("a second mapping of the name %s, the first is at %s", m.Key(), first), "rename one")
		}
	}
	return errs.errs.orNil()
}

// longestName is the longest name among a draft's clusters, with which an ARN is
// malformed if it is with any of them; or as short a name as there can be.
func (d draft) longestName() string {
	longest := "x"
	for _, c := range d.clusters {
		if len(c) > len(longest) && !strings.ContainsAny(c, "*?") {
			longest = c
		}
	}
	return longest
}

// someCluster is a cluster of which only the name is known.
func someCluster(name string) identity.Cluster {
	return identity.Cluster{Name: name, Region: "x", Account: "123456789012", Partition: "aws"}
}

// crowd are the clusters of the mappings that share a subject or a key.
type crowd struct{ clusters map[string]Position }

func joined[K comparable](crowds map[K]*crowd, key K) *crowd {
	c := crowds[key]
	if c == nil {
		c = &crowd{clusters: map[string]Position{}}
		crowds[key] = c
	}
	return c
}

// add adds a draft's clusters and returns the place of an earlier mapping with
// one in common. Two globs have one in common for certain where one matches the
// text of the other.
func (c *crowd) add(d draft, budget *int) (first Position, overlaps bool) {
	patterns := d.clusters
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	for _, p := range patterns {
		if at, same := c.clusters[p]; same {
			first, overlaps = at, true
			continue
		}
		for q, at := range c.clusters {
			if *budget--; *budget < 0 {
				break
			}
			if (glob(p, q) || glob(q, p)) && (!overlaps || at.Compare(first) < 0) {
				first, overlaps = at, true
			}
		}
	}
	for _, p := range patterns {
		if _, same := c.clusters[p]; !same {
			c.clusters[p] = d.mapping.At
		}
	}
	return first, overlaps
}
