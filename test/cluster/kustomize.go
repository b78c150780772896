package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const kustomize = "kustomize"

// runKustomize prints what kubectl kustomize DIR would, with kubectl's own options.
func runKustomize() int {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: testcluster kustomize DIR")
		return 2
	}
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "testcluster kustomize: %v\n", err)
		return 1
	}
	text, err := objects.AsYaml()
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "testcluster kustomize: %v\n", err)
		return 1
	}
	return 0
}
