package main

import (
	"path/filepath"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/config"
)

// TestExamplesAreValid checks each configuration file of the examples, with the tokens that they leave to the environment.
func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d example files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := config.Load(config.Sources{File: file, Environ: []string{"PERIHELION_EDGE_AUTH_TOKEN=a-long-random-text", "PERIHELION_ADMIN_TOKEN=another-long-random-text"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, warning := range c.Warnings {
				t.Errorf("warning: %s", warning)
			}
		})
	}
}
