package awsd

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// restOperations lists the REST-JSON operations with their URIs.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_Operations.html
func (s *Server) restOperations() []route {
	const (
		associations = "clusters/{clusterName}/pod-identity-associations"
		association  = associations + "/{associationId}"
		addons       = "clusters/{clusterName}/addons"
		profiles     = "clusters/{clusterName}/fargate-profiles"
		group        = "clusters/{clusterName}/node-groups/{nodegroupName}"
		tags         = "tags/{resourceArn}"
	)
	return []route{
		{"eks", "DescribeCluster", "GET", "clusters/{name}", s.describeCluster},
		{"eks", "ListPodIdentityAssociations", "GET", associations, s.listPodIdentityAssociations},
		{"eks", "CreatePodIdentityAssociation", "POST", associations, s.createPodIdentityAssociation},
		{"eks", "DescribePodIdentityAssociation", "GET", association, s.describePodIdentityAssociation},
		{"eks", "UpdatePodIdentityAssociation", "POST", association, s.updatePodIdentityAssociation},
		{"eks", "DeletePodIdentityAssociation", "DELETE", association, s.deletePodIdentityAssociation},
		{"eks", "ListAddons", "GET", addons, s.listAddons},
		{"eks", "DescribeAddon", "GET", addons + "/{addonName}", s.describeAddon},
		{"eks", "DescribeAddonConfiguration", "GET", "addons/configuration-schemas", s.describeAddonConfiguration},
		{"eks", "ListFargateProfiles", "GET", profiles, s.listFargateProfiles},
		{"eks", "DescribeFargateProfile", "GET", profiles + "/{fargateProfileName}", s.describeFargateProfile},
		{"eks", "DescribeNodegroup", "GET", group, s.describeNodegroup},
		{"eks", "TagResource", "POST", tags, s.tagResource},
		{"eks", "UntagResource", "DELETE", tags, s.untagResource},
		{"eks", "ListTagsForResource", "GET", tags, s.listTagsForResource},
		{"eks-auth", "AssumeRoleForPodIdentity", "POST", "clusters/{clusterName}/assume-role-for-pod-identity", s.assumeRoleForPodIdentity},
	}
}

// namedCluster returns the cluster that the request names, in the caller's account and the
// Region that the request was signed for.
func (s *Server) namedCluster(c *call) (*clusterState, *apiError) {
	name := c.path["clusterName"]
	if name == "" {
		name = c.path["name"]
	}
	if !clusterName.MatchString(name) {
		return nil, errParameter("The cluster name %s is invalid.", name)
	}
	if st := s.clusters[clusterKey{c.Account, c.Region, name}]; st != nil {
		return st, nil
	}
	return nil, &apiError{status: 404, code: "ResourceNotFoundException", message: "No cluster found for name: " + name + ".", cluster: name}
}

// doc is a JSON object to answer with.
type doc map[string]any

// epoch is a time as EKS writes it: seconds, with a fraction.
func epoch(t time.Time) json.Number {
	b, _ := json.Marshal(float64(t.UnixMilli()) / 1000)
	return json.Number(b)
}

// some leaves out what is empty, as EKS does.
func (d doc) some(key, value string) doc {
	if value != "" {
		d[key] = value
	}
	return d
}

func tagsOf(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}

func (s *Server) describeCluster(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	key, _ := parseClusterARN(st.ARN)
	d := doc{
		"name": key.name, "arn": st.ARN, "status": st.Status, "createdAt": epoch(st.Created), "tags": tagsOf(st.Tags),
	}
	d.some("version", st.Version).some("platformVersion", st.PlatformVersion).some("endpoint", st.Endpoint).some("roleArn", st.RoleARN)
	if st.Issuer != "" {
		d["identity"] = doc{"oidc": doc{"issuer": st.Issuer}}
	}
	if st.AutoMode {
		d["computeConfig"] = doc{"enabled": true, "nodePools": st.NodePools}.some("nodeRoleArn", st.NodeRoleARN)
	}
	if len(st.RemoteNodeCIDRs)+len(st.RemotePodCIDRs) > 0 {
		d["remoteNetworkConfig"] = doc{
			"remoteNodeNetworks": []doc{{"cidrs": st.RemoteNodeCIDRs}}, "remotePodNetworks": []doc{{"cidrs": st.RemotePodCIDRs}},
		}
	}
	if len(st.OutpostARNs) > 0 {
		d["outpostConfig"] = doc{"outpostArns": st.OutpostARNs}
	}
	return doc{"cluster": d}, nil
}

func (s *Server) listAddons(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	page, next, err := eksPage(c, slices.Sorted(maps.Keys(st.addons)), self, st.ARN)
	return doc{"addons": page, "nextToken": next}, err
}

func (s *Server) describeAddon(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	a, ok := st.addons[c.path["addonName"]]
	if !ok {
		return nil, errNotFound("No addon: %s found in cluster: %s", c.path["addonName"], c.path["clusterName"])
	}
	d := doc{
		"addonName": a.Name, "clusterName": c.path["clusterName"], "status": a.Status, "addonVersion": a.Version,
		"addonArn": a.ARN(), "createdAt": epoch(a.Created), "modifiedAt": epoch(a.Modified), "tags": tagsOf(a.Tags),
		"health": doc{"issues": []any{}},
	}
	if len(a.PodIdentityAssociations) > 0 {
		d["podIdentityAssociations"] = a.PodIdentityAssociations
	}
	if a.Namespace != "" {
		d["namespaceConfig"] = doc{"namespace": a.Namespace}
	}
	return doc{"addon": d.some("serviceAccountRoleArn", a.ServiceAccountRoleARN).some("configurationValues", a.ConfigurationValues)}, nil
}

// describeNodegroup answers what identifies a node group, and its role.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_Nodegroup.html
func (s *Server) describeNodegroup(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	g, ok := st.groups[c.path["nodegroupName"]]
	if !ok {
		return nil, errNotFound("No node group found for name: %s.", c.path["nodegroupName"])
	}
	return doc{"nodegroup": doc{
		"nodegroupName": g.Name, "clusterName": c.path["clusterName"], "status": g.Status, "createdAt": epoch(g.Created),
		"nodegroupArn": eksARN(g.Cluster, "nodegroup", g.Name, uuidOf(g.Cluster+"nodegroup"+g.Name)), "tags": tagsOf(nil),
	}.some("nodeRole", g.RoleARN)}, nil
}

func (s *Server) describeAddonConfiguration(c *call) (any, *apiError) {
	name, version := c.form.Get("addonName"), c.form.Get("addonVersion")
	if name == "" || version == "" {
		return nil, errParameter("addonName and addonVersion are required.")
	}
	conf, ok := s.addonConfigurations[name+"@"+version]
	if !ok {
		return nil, errNotFound("Addon %s with version %s not found.", name, version)
	}
	var identities []doc
	for _, sa := range conf.ServiceAccounts {
		identities = append(identities, doc{"serviceAccount": sa.ServiceAccount, "recommendedManagedPolicies": sa.Policies})
	}
	return doc{"addonName": name, "addonVersion": version, "podIdentityConfiguration": identities}.some("configurationSchema", conf.Schema), nil
}

func (s *Server) listFargateProfiles(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	page, next, err := eksPage(c, slices.Sorted(maps.Keys(st.profiles)), self, st.ARN)
	return doc{"fargateProfileNames": page, "nextToken": next}, err
}

func (s *Server) describeFargateProfile(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	f, ok := st.profiles[c.path["fargateProfileName"]]
	if !ok {
		return nil, errNotFound("No Fargate Profile found with name: %s.", c.path["fargateProfileName"])
	}
	selectors := []doc{}
	for _, sel := range f.Selectors {
		selectors = append(selectors, doc{"namespace": sel.Namespace, "labels": tagsOf(sel.Labels)})
	}
	return doc{"fargateProfile": doc{
		"fargateProfileName": f.Name, "clusterName": c.path["clusterName"], "status": f.Status, "selectors": selectors,
		"fargateProfileArn": eksARN(st.ARN, "fargateprofile", f.Name, uuidOf(st.ARN+f.Name)), "createdAt": epoch(f.Created),
		"subnets": f.Subnets, "tags": tagsOf(f.Tags),
	}.some("podExecutionRoleArn", f.PodExecutionRoleARN)}, nil
}

// tagged finds what an ARN names and how to read and replace its tags. Clusters, add-ons,
// Fargate profiles and associations bear tags.
func (s *Server) tagged(c *call) (tags map[string]string, store func(map[string]string), err *apiError) {
	resource := c.path["resourceArn"]
	a, ok := parseARN(resource)
	kind, rest, _ := strings.Cut(a.resource, "/")
	name, rest, _ := strings.Cut(rest, "/")
	if !ok || a.service != "eks" {
		return nil, nil, fail(400, "BadRequestException", "Invalid resource ARN: %s", resource)
	}
	missing := fail(404, "NotFoundException", "Resource not found: %s", resource)
	st := s.clusters[clusterKey{a.account, a.region, name}]
	if st == nil || a.account != c.Account {
		return nil, nil, missing
	}
	switch item, _, _ := strings.Cut(rest, "/"); kind {
	case "cluster":
		return st.Tags, func(t map[string]string) { st.Tags = t }, nil
	case "addon":
		if it, ok := st.addons[item]; ok {
			return it.Tags, func(t map[string]string) { it.Tags = t; st.addons[item] = it }, nil
		}
	case "fargateprofile":
		if it, ok := st.profiles[item]; ok {
			return it.Tags, func(t map[string]string) { it.Tags = t; st.profiles[item] = it }, nil
		}
	case "podidentityassociation":
		if v := st.associations[item]; v != nil {
			if it, ok := v.latest(); ok {
				return it.Tags, func(t map[string]string) { it.Tags = t; c.undo = append(c.undo, v.put(c.now, it)) }, nil
			}
		}
	}
	return nil, nil, missing
}

func (s *Server) tagResource(c *call) (any, *apiError) {
	var in struct{ Tags map[string]string }
	if json.Unmarshal(c.body, &in) != nil || len(in.Tags) == 0 {
		return nil, fail(400, "BadRequestException", "tags must not be empty")
	}
	tags, store, err := s.tagged(c)
	if err != nil {
		return nil, err
	}
	merged := maps.Clone(tagsOf(tags))
	maps.Copy(merged, in.Tags)
	if problem := tagProblem(merged); problem != "" {
		return nil, fail(400, "BadRequestException", "%s", problem)
	}
	c.storeTags(tags, merged, store)
	return doc{}, nil
}

func (s *Server) untagResource(c *call) (any, *apiError) {
	keys := c.form["tagKeys"]
	if len(keys) == 0 {
		return nil, fail(400, "BadRequestException", "tagKeys must not be empty")
	}
	tags, store, err := s.tagged(c)
	if err != nil {
		return nil, err
	}
	left := maps.Clone(tagsOf(tags))
	for _, k := range keys {
		delete(left, k)
	}
	c.storeTags(tags, left, store)
	return doc{}, nil
}

func (c *call) storeTags(old, tags map[string]string, store func(map[string]string)) {
	store(tags)
	if len(c.undo) == 0 { // Not versioned: put the old ones back.
		c.undo = append(c.undo, func() { store(old) })
	}
}

func (s *Server) listTagsForResource(c *call) (any, *apiError) {
	tags, _, err := s.tagged(c)
	if err != nil {
		return nil, err
	}
	return doc{"tags": tagsOf(tags)}, nil
}
