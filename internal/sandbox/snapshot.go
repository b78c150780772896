package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// snapshot is the part of a file of kind Snapshot that a world is built from. It is
// the sandbox's own reading of the format: the sandbox shares no code with lanyard.
type snapshot struct {
	TakenAt time.Time `json:"takenAt"`
	Cluster struct {
		Name    string `json:"name"`
		ARN     string `json:"arn"`
		Issuer  string `json:"issuer"`
		Version string `json:"version"`
		Status  string `json:"status"`
		Auto    bool   `json:"autoMode"`
	} `json:"cluster"`
	ServiceAccounts []serviceAccount `json:"serviceAccounts"`
	Workloads       []workload       `json:"workloads"`
	Pods            []pod            `json:"pods"`
	Nodes           []struct {
		Name        string `json:"name"`
		ComputeType string `json:"computeType"`
		OS          string `json:"os"`
	} `json:"nodes"`
	Webhook struct {
		Present bool `json:"present"`
	} `json:"webhook"`
	Associations []association `json:"associations"`
	Addons       []struct {
		Name         string   `json:"name"`
		Version      string   `json:"version"`
		Status       string   `json:"status"`
		Role         string   `json:"serviceAccountRoleARN"`
		Associations []string `json:"podIdentityAssociations"`
	} `json:"addons"`
	FargateProfiles []struct {
		Name      string `json:"name"`
		Status    string `json:"status"`
		Selectors []struct {
			Namespace string            `json:"namespace"`
			Labels    map[string]string `json:"labels"`
		} `json:"selectors"`
	} `json:"fargateProfiles"`
	Accounts []struct {
		ID             string `json:"id"`
		TrustSizeQuota int    `json:"trustSizeQuota"`
	} `json:"accounts"`
	Roles []struct {
		ARN        string            `json:"arn"`
		Presence   string            `json:"presence"`
		Trust      string            `json:"trustPolicy"`
		MaxSession int               `json:"maxSessionSeconds"`
		Tags       map[string]string `json:"tags"`
		Boundary   string            `json:"permissionsBoundary"`
		UsedAt     time.Time         `json:"lastUsedAt"`
		UsedIn     string            `json:"lastUsedRegion"`
		Policies   []policy          `json:"policies"`
	} `json:"roles"`
	Providers []struct {
		ARN       string   `json:"arn"`
		ClientIDs []string `json:"clientIDs"`
	} `json:"oidcProviders"`
}

// policy is what a snapshot keeps of a permission policy: what tells IRSA and Pod
// Identity apart, and what is allowed on every resource.
type policy struct {
	Name       string   `json:"name"`
	ARN        string   `json:"arn"`
	Bounds     bool     `json:"bounds"`
	Everywhere []string `json:"everywhere"`
	Statements []struct {
		Sid       string   `json:"sid"`
		Deny      bool     `json:"deny"`
		Actions   []string `json:"actions"`
		Resources []string `json:"resources"`
	} `json:"statements"`
}

// document is an inline policy of these statements; IAM takes none without any, so one
// without says what every session may do anyway.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (p policy) document() (string, error) {
	type statement struct {
		Sid                                      string `json:",omitempty"`
		Effect                                   string
		Action, NotAction, Resource, NotResource []string `json:",omitempty"`
	}
	split := func(list []string) (named, excepted []string) { // a snapshot marks the latter with !
		for _, text := range list {
			if except, is := strings.CutPrefix(text, "!"); is {
				excepted = append(excepted, except)
			} else {
				named = append(named, text)
			}
		}
		return named, excepted
	}
	doc := struct {
		Version   string
		Statement []statement
	}{Version: "2012-10-17", Statement: []statement{}}
	for _, s := range p.Statements {
		effect := map[bool]string{false: "Allow", true: "Deny"}[s.Deny]
		one := statement{Sid: s.Sid, Effect: effect}
		one.Action, one.NotAction = split(s.Actions)
		one.Resource, one.NotResource = split(s.Resources)
		doc.Statement = append(doc.Statement, one)
	}
	if len(p.Everywhere) > 0 {
		one := statement{Effect: "Allow", Resource: []string{"*"}}
		one.Action, one.NotAction = split(p.Everywhere)
		doc.Statement = append(doc.Statement, one)
	}
	if len(doc.Statement) == 0 {
		doc.Statement = append(doc.Statement, statement{Effect: "Allow", Action: []string{"sts:GetCallerIdentity"}, Resource: []string{"*"}})
	}
	b, err := json.Marshal(doc)
	return string(b), err
}

type serviceAccount struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Annotations map[string]string `json:"annotations"`
	Tool        string            `json:"tool"`
	Managers    []struct {
		Annotation string `json:"annotation"`
		Manager    string `json:"manager"`
	} `json:"managers"`
}

type workload struct {
	Namespace      string            `json:"namespace"`
	Kind           string            `json:"kind"`
	Name           string            `json:"name"`
	ServiceAccount string            `json:"serviceAccount"`
	Replicas       int32             `json:"replicas"`
	PodLabels      map[string]string `json:"podLabels"`
	NodeSelector   map[string]string `json:"nodeSelector"`
}

type pod struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	Containers     []struct {
		Credential string `json:"credential"`
		Role       string `json:"role"`
		Audience   string `json:"audience"`
	} `json:"containers"`
}

type association struct {
	Namespace      string            `json:"namespace"`
	ServiceAccount string            `json:"serviceAccount"`
	ID             string            `json:"id"`
	OwnerARN       string            `json:"ownerARN"`
	Role           string            `json:"role"`
	TargetRole     string            `json:"targetRole"`
	SessionTagsOff bool              `json:"sessionTagsOff"`
	SessionPolicy  string            `json:"sessionPolicy"`
	Tags           map[string]string `json:"tags"`
	CreatedAt      time.Time         `json:"createdAt"`
	ModifiedAt     time.Time         `json:"modifiedAt"`
}

func decode(data []byte) (snapshot, error) {
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("build the sandbox's world: %w", err)
	}
	return s, nil
}
