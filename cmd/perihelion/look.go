package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/perihelion-proxy/perihelion/host/config"
)

// checkConfig says that a configuration is right, with what may not be meant.
func checkConfig(s config.Sources, w world) error {
	c, err := config.Load(s)
	if err != nil {
		return err
	}
	for _, warning := range c.Warnings {
		fmt.Fprintf(w.stderr, "perihelion: warning: %s\n", warning)
	}
	_, err = fmt.Fprintf(w.stdout, "%s: ok (role %s)\n", s.File, c.Edge.Role)
	return err
}

// showConfig prints each key with its value and where it came from.
func showConfig(s config.Sources, w world) error {
	c, err := config.Load(s)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tVALUE\tSOURCE")
	for _, setting := range c.Settings() {
		value := setting.Value
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", setting.Key, value, setting.Source)
	}
	return table.Flush()
}

func printVersion(w world) error {
	_, err := fmt.Fprintf(w.stdout, "perihelion %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version is what Go recorded of the build: a tag, or a commit and its time.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
