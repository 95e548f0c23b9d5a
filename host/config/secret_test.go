package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestNoWayOfPrintingShowsASecret(t *testing.T) {
	file := write(t, "upstream: postgres://u:hunter2@h/d?sslpassword=hunter2\nhttp: :1\nadmin_token: hunter2\nedge: {auth_token: hunter2}\n")
	c := mustLoad(t, Sources{File: file})
	for name, value := range map[string]any{"config": *c, "pointer": c, "token": c.AdminToken, "upstream": c.Upstream} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s"} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, "hunter2") || strings.Contains(got, "68756e74657232") {
				t.Errorf("%s with %s: got %s", name, verb, got)
			}
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("start", "value", value)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("start", "value", value)
		asJSON, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := yaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []string{b.String(), string(asJSON), string(asYAML)} {
			if strings.Contains(got, "hunter2") || !strings.Contains(got, redacted) {
				t.Errorf("%s: got %s", name, got)
			}
		}
	}
	if got := fmt.Sprint(c.Settings(), c.Warnings); strings.Contains(got, "hunter2") {
		t.Errorf("settings and warnings: got %s", got)
	}
	if got := c.AdminToken.Reveal() + c.Upstream.Reveal(); got != "hunter2postgres://u:hunter2@h/d?sslpassword=hunter2" {
		t.Errorf("revealed: got %s", got)
	}
}

func TestASecretThatIsEmptyPrintsAsNothing(t *testing.T) {
	if got := fmt.Sprintf("%s%v%#v", Secret(""), Upstream(""), Secret("")); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}

func TestUpstreamsPrintWithoutPasswords(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://h:5432/d":                         "postgres://h:5432/d",
		"postgres://u@h":                              "postgres://u@h",
		"postgres://u:hunter2@h/d?sslmode=require":    "postgres://u:redacted@h/d?sslmode=require",
		"postgres://u:@h":                             "postgres://u:redacted@h",
		"postgres:///d?host=/tmp&password=hunter2":    "postgres:///d?host=%2Ftmp&password=redacted",
		"host=h password=hunter2":                     redacted,
		"u:hunter2@h:5432":                            redacted,
		"postgres:u:hunter2@h":                        redacted,
		"postgres://u:hunter%zz2@h":                   redacted,
		"postgres://u:hunt#er2@h":                     redacted,
		"postgres://u:hunt/er2@h":                     redacted,
		"postgres//u:hunter2@h":                       redacted,
		"postgres://u:hunter2@h1:5432,h2:5432/d":      "postgres://u:redacted@h1:5432,h2:5432/d",
		"postgres://u:p%40ss%2Fhunter2@[::1]:5432/d":  "postgres://u:redacted@[::1]:5432/d",
		"postgres://u:hunter2@h/d?sslpassword=hunter": "postgres://u:redacted@h/d?sslpassword=redacted",
	} {
		if got := Upstream(text).String(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestNoProblemShowsASecret(t *testing.T) {
	for name, s := range map[string]Sources{
		"a token with a space":          {Environ: []string{"PERIHELION_ADMIN_TOKEN=hunter2 x"}},
		"a mistyped variable":           {Environ: []string{"PERIHELION_ADMIN_TOKN=hunter2"}},
		"a mistyped key":                {File: write(t, "admin_tokn: hunter2")},
		"a token with keys":             {File: write(t, "admin_token: {hunter2: x}")},
		"a list of tokens":              {File: write(t, "admin_token: [hunter2]")},
		"a token among broken YAML":     {File: write(t, "admin_token: \"hunter2\nlisten: [")},
		"a token that is broken YAML":   {File: write(t, "admin_token: hunter2: x")},
		"a token that is an alias":      {File: write(t, "admin_token: *hunter2")},
		"a token that comes twice":      {File: write(t, "admin_token: hunter2\nadmin_token: hunter2")},
		"a token with a tag":            {File: write(t, "admin_token: !hunter2 x")},
		"an escape that there is not":   {File: write(t, `admin_token: "hunter2\q"`)},
		"a token that starts with @":    {File: write(t, "admin_token: @hunter2")},
		"a token that starts with %":    {File: write(t, "admin_token: %hunter2")},
		"a token that ends like a map":  {File: write(t, "admin_token: hunter2}")},
		"an upstream with a bad escape": {Environ: []string{"PERIHELION_UPSTREAM=postgres://u:%zzhunter2@h"}},
		"an upstream in keyword form":   {Environ: []string{"PERIHELION_UPSTREAM=host=h password=hunter2"}},
		"an upstream of another kind":   {Environ: []string{"PERIHELION_UPSTREAM=mysql://u:hunter2@h"}},
		"an upstream on an edge":        {Environ: []string{"PERIHELION_UPSTREAM=postgres://u:hunter2@h"}, Flags: edgeFlags()},
		"a home with a password":        {Environ: []string{"PERIHELION_EDGE_HOME_URL=http://u:hunter2@h"}, Flags: without(edgeFlags(), keyHomeURL)},
		"homes with a password":         {Environ: []string{"PERIHELION_EDGE_HOME_URL=http://h,u:hunter2@h"}, Flags: without(edgeFlags(), keyHomeURL)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(s)
			if err == nil {
				t.Fatal("got no error")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}
