package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// eksPage is the largest page of EKS's lists.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_ListPodIdentityAssociations.html
const eksPage = 100

// otherInterval is how old the description of an add-on or a Fargate profile may be.
const otherInterval = 10 * time.Minute

// listAssociations lists the associations of the cluster, or those of one subject.
func (o *Observer) listAssociations(ctx context.Context, only identity.Subject) ([]types.PodIdentityAssociationSummary, int, error) {
	in := &eks.ListPodIdentityAssociationsInput{ClusterName: &o.opts.Cluster, MaxResults: aws.Int32(eksPage)}
	if !only.IsZero() {
		in.Namespace, in.ServiceAccount = &only.Namespace, &only.ServiceAccount
	}
	return pages(func(token *string) ([]types.PodIdentityAssociationSummary, *string, error) {
		in.NextToken = token
		out, err := ask(ctx, o.eks, o.opts.EKS.ListPodIdentityAssociations, in)
		if err != nil {
			return nil, nil, err
		}
		return out.Associations, out.NextToken, nil
	})
}

// associations reads the associations: all pages of the list, and of each what is due.
func (o *Observer) associations(ctx context.Context, now time.Time, g *gaps) []live.Association {
	listed, came, err := o.listAssociations(ctx, identity.Subject{})
	if err != nil {
		g.addPages(live.SourceListAssociations, "", came, err)
	}
	ids := make([]string, 0, len(listed))
	for _, s := range listed {
		ids = append(ids, aws.ToString(s.AssociationId))
	}
	o.mu.Lock()
	if err == nil {
		o.described.keep(ids)
	}
	due := o.described.due(ids, now, o.opts.DescribeInterval)
	o.mu.Unlock()
	o.progress("describing %d of %d Pod Identity associations", len(due), len(listed))
	errs := each(o.limits.Concurrency, due, func(id string) error { return o.describeAssociation(ctx, id, now) })
	g.addEach(live.SourceDescribeAssociation, due, errs)

	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]live.Association, 0, len(listed))
	for _, s := range listed {
		out = append(out, o.association(s))
	}
	return onePerSubject(out)
}

// describeAssociation reads one association and remembers it. One that cannot be read
// is forgotten: what was known of it may no longer be so. One that is listed, but not
// found, is no different: EKS is eventually consistent, and the next list will tell.
func (o *Observer) describeAssociation(ctx context.Context, id string, now time.Time) error {
	out, err := ask(ctx, o.eks, o.opts.EKS.DescribePodIdentityAssociation,
		&eks.DescribePodIdentityAssociationInput{ClusterName: &o.opts.Cluster, AssociationId: &id})
	var a live.Association
	if err == nil {
		a, err = associationFacts(out.Association)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.described.forget(id)
		return err
	}
	o.described.put(id, a, now)
	return nil
}

// association joins what the list says with what is remembered. The list is newer.
func (o *Observer) association(s types.PodIdentityAssociationSummary) live.Association {
	a, _ := o.described.get(aws.ToString(s.AssociationId))
	a.Namespace, a.ServiceAccount = aws.ToString(s.Namespace), aws.ToString(s.ServiceAccount)
	a.ID, a.ARN, a.OwnerARN = aws.ToString(s.AssociationId), aws.ToString(s.AssociationArn), aws.ToString(s.OwnerArn)
	return a
}

func associationFacts(a *types.PodIdentityAssociation) (live.Association, error) {
	if a == nil {
		return live.Association{}, errors.New("EKS answered without an association")
	}
	role, err := identity.ParseRoleARN(aws.ToString(a.RoleArn))
	if err != nil {
		return live.Association{}, fmt.Errorf("the association's role: %w", err)
	}
	var target identity.RoleARN
	if err := target.UnmarshalText([]byte(aws.ToString(a.TargetRoleArn))); err != nil {
		return live.Association{}, fmt.Errorf("the association's target role: %w", err)
	}
	return live.Association{
		Namespace: aws.ToString(a.Namespace), ServiceAccount: aws.ToString(a.ServiceAccount),
		Described: true, Role: role, TargetRole: target, ExternalID: aws.ToString(a.ExternalId),
		SessionTagsOff: aws.ToBool(a.DisableSessionTags), SessionPolicy: aws.ToString(a.Policy), Tags: a.Tags,
		CreatedAt: aws.ToTime(a.CreatedAt).UTC(), ModifiedAt: aws.ToTime(a.ModifiedAt).UTC(),
	}, nil
}

// onePerSubject sorts, and keeps one association of each subject. EKS allows one, but
// a list whose pages were read while one was deleted and made again shows both: the
// newer counts, and where their age is not known neither is.
func onePerSubject(all []live.Association) []live.Association {
	slices.SortFunc(all, func(a, b live.Association) int {
		return cmp.Or(a.Subject().Compare(b.Subject()), b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	out := all[:0]
	for _, a := range all {
		if n := len(out); n > 0 && out[n-1].Subject() == a.Subject() {
			out[n-1].Described = out[n-1].Described && (a.Described || a.ID == out[n-1].ID)
			continue
		}
		out = append(out, a)
	}
	return out
}

// addons reads the EKS add-ons.
func (o *Observer) addons(ctx context.Context, now time.Time, g *gaps) []live.Addon {
	in := &eks.ListAddonsInput{ClusterName: &o.opts.Cluster, MaxResults: aws.Int32(eksPage)}
	names, came, err := pages(func(token *string) ([]string, *string, error) {
		in.NextToken = token
		out, err := ask(ctx, o.eks, o.opts.EKS.ListAddons, in)
		if err != nil {
			return nil, nil, err
		}
		return out.Addons, out.NextToken, nil
	})
	if err != nil {
		g.addPages(live.SourceListAddons, "", came, err)
	}
	return describeNamed(o, &o.addonsSeen, names, err == nil, now, g, live.SourceDescribeAddon,
		func(name string) (live.Addon, error) { return o.describeAddon(ctx, name) },
		func(name string) live.Addon { return live.Addon{Name: name} })
}

func (o *Observer) describeAddon(ctx context.Context, name string) (live.Addon, error) {
	out, err := ask(ctx, o.eks, o.opts.EKS.DescribeAddon, &eks.DescribeAddonInput{ClusterName: &o.opts.Cluster, AddonName: &name})
	if err != nil {
		return live.Addon{}, err
	}
	if out.Addon == nil {
		return live.Addon{}, errors.New("EKS answered without an add-on")
	}
	return live.Addon{
		Name: name, Version: aws.ToString(out.Addon.AddonVersion), Status: string(out.Addon.Status), Described: true,
		ServiceAccountRole: aws.ToString(out.Addon.ServiceAccountRoleArn),
		Associations:       slices.Sorted(slices.Values(out.Addon.PodIdentityAssociations)),
	}, nil
}

// fargateProfiles reads the Fargate profiles with their selectors.
func (o *Observer) fargateProfiles(ctx context.Context, now time.Time, g *gaps) []live.FargateProfile {
	in := &eks.ListFargateProfilesInput{ClusterName: &o.opts.Cluster, MaxResults: aws.Int32(eksPage)}
	names, came, err := pages(func(token *string) ([]string, *string, error) {
		in.NextToken = token
		out, err := ask(ctx, o.eks, o.opts.EKS.ListFargateProfiles, in)
		if err != nil {
			return nil, nil, err
		}
		return out.FargateProfileNames, out.NextToken, nil
	})
	if err != nil {
		g.addPages(live.SourceListFargateProfiles, "", came, err)
	}
	return describeNamed(o, &o.profilesSeen, names, err == nil, now, g, live.SourceDescribeFargate,
		func(name string) (live.FargateProfile, error) { return o.describeFargate(ctx, name) },
		func(name string) live.FargateProfile { return live.FargateProfile{Name: name} })
}

func (o *Observer) describeFargate(ctx context.Context, name string) (live.FargateProfile, error) {
	out, err := ask(ctx, o.eks, o.opts.EKS.DescribeFargateProfile, &eks.DescribeFargateProfileInput{ClusterName: &o.opts.Cluster, FargateProfileName: &name})
	if err != nil {
		return live.FargateProfile{}, err
	}
	if out.FargateProfile == nil {
		return live.FargateProfile{}, errors.New("EKS answered without a Fargate profile")
	}
	p := live.FargateProfile{Name: name, Status: string(out.FargateProfile.Status), Described: true}
	for _, s := range out.FargateProfile.Selectors {
		p.Selectors = append(p.Selectors, live.FargateSelector{Namespace: aws.ToString(s.Namespace), Labels: s.Labels})
	}
	return p, nil
}

// nodeGroups reads the managed node groups that nodes name by their label: whose role it
// is that the Pod Identity agent asks EKS with. Without nodes nobody asks.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
func (o *Observer) nodeGroups(ctx context.Context, nodes []live.Node, now time.Time, g *gaps) []live.NodeGroup {
	var names []string
	for _, n := range nodes {
		if name := n.Labels[eksPrefix+"nodegroup"]; name != "" {
			names = append(names, name)
		}
	}
	return describeNamed(o, &o.groupsSeen, names, true, now, g, live.SourceDescribeNodeGroup,
		func(name string) (live.NodeGroup, error) { return o.describeNodeGroup(ctx, name) },
		func(name string) live.NodeGroup { return live.NodeGroup{Name: name} })
}

func (o *Observer) describeNodeGroup(ctx context.Context, name string) (live.NodeGroup, error) {
	out, err := ask(ctx, o.eks, o.opts.EKS.DescribeNodegroup, &eks.DescribeNodegroupInput{ClusterName: &o.opts.Cluster, NodegroupName: &name})
	if missing(err) { // deleted, and its last nodes are on their way
		return live.NodeGroup{Name: name, Described: true}, nil
	}
	if err != nil {
		return live.NodeGroup{}, err
	}
	if out.Nodegroup == nil {
		return live.NodeGroup{}, errors.New("EKS answered without a node group")
	}
	role, err := identity.ParseRoleARN(aws.ToString(out.Nodegroup.NodeRole))
	if err != nil {
		return live.NodeGroup{}, fmt.Errorf("the node group's role: %w", err)
	}
	return live.NodeGroup{Name: name, Role: role, Described: true}, nil
}

// describeNamed describes what is due of things that are listed by name. Those that
// cannot be described stay in the list, bare.
func describeNamed[V any](o *Observer, seen *rolling[string, V], names []string, whole bool, now time.Time, g *gaps,
	source live.Source, describe func(string) (V, error), bare func(string) V,
) []V {
	slices.Sort(names)
	names = slices.Compact(names)
	o.mu.Lock()
	if whole {
		seen.keep(names)
	}
	due := seen.due(names, now, min(otherInterval, o.opts.DescribeInterval))
	o.mu.Unlock()
	errs := each(o.limits.Concurrency, due, func(name string) error {
		v, err := describe(name)
		o.mu.Lock()
		defer o.mu.Unlock()
		if err != nil {
			seen.forget(name)
			return err
		}
		seen.put(name, v, now)
		return nil
	})
	g.addEach(source, due, errs)
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]V, 0, len(names))
	for _, name := range names {
		v, ok := seen.get(name)
		if !ok {
			v = bare(name)
		}
		out = append(out, v)
	}
	return out
}
