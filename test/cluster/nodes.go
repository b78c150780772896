package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Where the nodes pretend to be.
const (
	region = "eu-west-1"
	zone   = "eu-west-1a"
)

const computeType = "eks.amazonaws.com/compute-type"

// node is one node as EKS makes it: its name, the labels and taints that it has besides
// those of every node, and its provider ID.
type node struct {
	name, os, providerID string
	labels               map[string]string
	taints               []corev1.Taint
}

// nodes are named, labelled and, on Fargate, tainted as EKS does it. EKS itself taints
// no Windows, Auto Mode or hybrid node, but who mixes them keeps plain pods off, as the
// user guide says; and a test knows where a plain pod lands: on EC2.
var nodes = []node{
	ec2("ip-10-0-1-11", "i-0000000000000ec21"),
	ec2("ip-10-0-1-12", "i-0000000000000ec22"),
	ec2("ip-10-0-1-13", "i-0000000000000ec23"),
	{
		name: "fargate-ip-10-0-1-21." + region + ".compute.internal", os: "linux", providerID: "aws:///" + zone + "/0123456789-0123456789abcdef0123456789abcdef/fargate-ip-10-0-1-21",
		labels: map[string]string{computeType: "fargate"},
		taints: []corev1.Taint{{Key: computeType, Value: "fargate", Effect: corev1.TaintEffectNoSchedule}},
	},
	{
		name: "ip-10-0-1-31." + region + ".compute.internal", os: "windows", providerID: "aws:///" + zone + "/i-0000000000000f1d0",
		labels: map[string]string{"eks.amazonaws.com/nodegroup": "windows", "node.kubernetes.io/windows-build": "10.0.20348"},
		taints: []corev1.Taint{{Key: "os", Value: "windows", Effect: corev1.TaintEffectNoSchedule}},
	},
	{
		name: "i-0000000000000a070", os: "linux", providerID: "aws:///" + zone + "/i-0000000000000a070",
		labels: map[string]string{computeType: "auto", "eks.amazonaws.com/nodeclass": "default", "karpenter.sh/nodepool": "general-purpose", "karpenter.sh/capacity-type": "on-demand"},
		taints: []corev1.Taint{{Key: "compute", Value: "auto", Effect: corev1.TaintEffectNoSchedule}},
	},
	{
		name: "mi-0000000000000b1d0", os: "linux", providerID: "eks-hybrid:///" + region + "/testcluster/mi-0000000000000b1d0",
		labels: map[string]string{computeType: "hybrid", "eks.amazonaws.com/hybrid-credential-provider": "ssm"},
		taints: []corev1.Taint{{Key: "compute", Value: "hybrid", Effect: corev1.TaintEffectNoSchedule}},
	},
}

func ec2(name, instance string) node {
	return node{
		name: name + "." + region + ".compute.internal", os: "linux", providerID: "aws:///" + zone + "/" + instance,
		labels: map[string]string{"eks.amazonaws.com/nodegroup": "linux", "eks.amazonaws.com/capacityType": "ON_DEMAND"},
	}
}

// object is the Node with room for any test. kwok fills in the rest of its status.
func (n node) object() *corev1.Node {
	labels := map[string]string{
		corev1.LabelHostname:   n.name,
		corev1.LabelOSStable:   n.os,
		corev1.LabelArchStable: "amd64",
	}
	if n.labels[computeType] != "hybrid" { // which stands in nobody's zone
		labels[corev1.LabelTopologyRegion] = region
		labels[corev1.LabelTopologyZone] = zone
		labels[corev1.LabelInstanceTypeStable] = "m7i.xlarge"
	}
	maps.Copy(labels, n.labels)
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1k"),
		corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods:   resource.MustParse("100k"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: n.providerID, Taints: n.taints},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room,
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: n.os, Architecture: "amd64"},
		},
	}
}

// letAnybodyDiscover opens the issuer's discovery document and keys to callers without
// a login, who stand for AWS STS.
func letAnybodyDiscover(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "service-account-issuer-discovery-anybody"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:service-account-issuer-discovery"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("open the issuer's discovery: %w", err)
	}
	return nil
}

// createNodes creates the nodes that are not there yet.
func createNodes(ctx context.Context, client kubernetes.Interface) error {
	for _, n := range nodes {
		_, err := client.CoreV1().Nodes().Create(ctx, n.object(), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create node %s: %w", n.name, err)
		}
	}
	return nil
}

// settled reports what a first test still has to wait for: "" is nothing. A node that
// has just become Ready keeps its not-ready taint for a moment, and no pod may be
// created in a namespace before its ServiceAccount default is.
func settled(ctx context.Context, client kubernetes.Interface) string {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	ready := 0
	for _, n := range list.Items {
		isReady := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		tainted := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
		if isReady && !tainted {
			ready++
		}
	}
	if ready < len(nodes) {
		return fmt.Sprintf("%d of %d nodes are Ready", ready, len(nodes))
	}
	if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err.Error()
	}
	return ""
}
