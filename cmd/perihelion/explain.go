package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/perihelion-proxy/perihelion/host/api"
	"github.com/perihelion-proxy/perihelion/host/certificate"
	"github.com/perihelion-proxy/perihelion/host/link"
)

const (
	// maxStatementBytes is what the API takes, and maxAnswerBytes what is read of its answer.
	maxStatementBytes = 1 << 20
	maxAnswerBytes    = 16 << 20
	// explainTimeout leaves a home the time to read the catalogs of a database that it has not read yet.
	explainTimeout = 30 * time.Second

	defaultHome = "http://127.0.0.1:6433"
)

type explainCommand struct {
	SQL             string            `arg:"" name:"sql" help:"The statement; - reads it from the standard input."`
	Database        string            `short:"d" required:"" placeholder:"NAME" help:"Database that the statement is for."`
	User            string            `short:"U" placeholder:"NAME" help:"User who sends it (default: the home's own role)."`
	SearchPath      *string           `placeholder:"LIST" help:"The session's search_path (default: what such a user's session starts with)."`
	Set             map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"Another setting of the session; may be repeated."`
	Param           []string          `short:"p" sep:"none" placeholder:"VALUE" help:"Value of $$1, then of $$2, and so on."`
	ApplicationName string            `placeholder:"NAME" help:"application_name that the session started with."`
	JSON            bool              `name:"json" help:"Print what the API answers."`
	Home            string            `placeholder:"URL" help:"HTTP address of the home ($$PERIHELION_EDGE_HOME_URL, default http://127.0.0.1:6433)."`
	HomeCA          string            `key:"edge.home_ca" name:"home-ca" placeholder:"FILE"`
	AdminToken      string            `key:"admin_token" placeholder:"TOKEN"`
}

// Help implements [kong.HelpProvider].
func (explainCommand) Help() string {
	return `It asks a home, and prints why a statement is cached or not: the word that is the reason, what would help, what it
reads, what it calls, what its key is made of, and what the policies say. The exit code is 0 where it could be explained.

Examples:

    export PERIHELION_ADMIN_TOKEN=TOKEN
    perihelion explain 'select * from products where id = 1' --database shop --user app
    perihelion explain 'select * from orders where id = $1' -d shop -p 7 --search-path 'app, public'
    perihelion explain - --database shop --home https://db.example:6433 < slow.sql
    perihelion explain 'select now()' --database shop --json

Other users of the machine can see flags. The token is safer in the variable; where no admin_token is configured,
PERIHELION_EDGE_AUTH_TOKEN serves.`
}

// usageError is a command line that cannot be carried out as it is.
type usageError struct {
	error
	hint string
}

func (e *usageError) Unwrap() error { return e.error }

// explain asks a home for an explanation and prints it.
func explain(c explainCommand, w world) error {
	request, err := c.request(w)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), explainTimeout)
	defer stop()
	ctx, ignore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer ignore()
	answer, err := c.ask(ctx, request, w)
	if err != nil {
		return err
	}
	if c.JSON {
		var out bytes.Buffer
		if err := json.Indent(&out, answer, "", "  "); err != nil {
			return fmt.Errorf("read the home's answer: %w", err)
		}
		out.WriteByte('\n')
		_, err = w.stdout.Write(out.Bytes())
		return err
	}
	var e api.Explanation
	if err := json.Unmarshal(answer, &e); err != nil {
		return fmt.Errorf("read the home's answer: %w", err)
	}
	_, err = io.WriteString(w.stdout, renderExplanation(request.SQL, &e, coloured(w)))
	return err
}

// request returns what is asked of the home.
func (c explainCommand) request(w world) (api.ExplainRequest, error) {
	r := api.ExplainRequest{
		Database: c.Database, User: c.User, SQL: c.SQL, SearchPath: c.SearchPath, Settings: c.Set, Application: c.ApplicationName,
	}
	for _, value := range c.Param {
		r.Parameters = append(r.Parameters, &value)
	}
	if c.SQL == "-" {
		text, err := io.ReadAll(io.LimitReader(w.stdin, maxStatementBytes+1))
		if err != nil {
			return r, fmt.Errorf("read the statement: %w", err)
		}
		r.SQL = strings.TrimRight(string(text), "\r\n")
	}
	switch {
	case strings.TrimSpace(r.SQL) == "":
		return r, &usageError{errors.New("there is no statement"), "give it in quotes, or - and the statement on the standard input"}
	case len(r.SQL) > maxStatementBytes:
		return r, &usageError{errors.New("the statement is larger than 1MiB"), "what is so large is not cached: send values as parameters"}
	}
	return r, nil
}

// ask returns the body of the home's answer.
func (c explainCommand) ask(ctx context.Context, r api.ExplainRequest, w world) ([]byte, error) {
	home, _, _ := strings.Cut(firstOf(c.Home, lookup(w, "PERIHELION_EDGE_HOME_URL"), defaultHome), ",")
	home = strings.TrimSpace(home)
	at, err := url.Parse(home)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil {
		return nil, &usageError{errors.New("--home is not a URL that begins with http:// or https://"), "give the home's http address, such as " + defaultHome}
	}
	token := firstOf(c.AdminToken, lookup(w, "PERIHELION_ADMIN_TOKEN"), lookup(w, "PERIHELION_EDGE_AUTH_TOKEN"))
	if token == "" {
		return nil, &usageError{errors.New("there is no token"), "set PERIHELION_ADMIN_TOKEN to the home's admin_token"}
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if file := firstOf(c.HomeCA, lookup(w, "PERIHELION_EDGE_HOME_CA")); file != "" {
		if transport.TLSClientConfig.RootCAs, err = certificate.Roots(file); err != nil {
			return nil, &usageError{err, "--home-ca is a file of certificates in PEM"}
		}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.JoinPath("/api/explain").String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	// A token goes nowhere but to the address that was given.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return nil, &hintedError{fmt.Errorf("ask the home: %w", err), "--home is the http address of a home that runs; GET /healthz there says ok"}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("read the home's answer: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return answer, nil
	}
	var failure link.Failure
	if json.Unmarshal(answer, &failure) != nil || failure.Error == "" {
		return nil, &hintedError{fmt.Errorf("%s answers %s", home, response.Status), "is it a perihelion home?"}
	}
	return nil, &hintedError{fmt.Errorf("%s answers: %s", home, printable(failure.Error)), printable(failure.Hint)}
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// lookup returns a variable of the environment, empty where it is not set.
func lookup(w world, name string) string {
	value := ""
	for _, line := range w.environ {
		if rest, ok := strings.CutPrefix(line, name+"="); ok {
			value = rest
		}
	}
	return value
}

// coloured reports whether the output is a terminal that shows colours, whose user wants them (no-color.org).
func coloured(w world) bool {
	f, ok := w.stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && lookup(w, "NO_COLOR") == "" && lookup(w, "TERM") != "dumb"
}
