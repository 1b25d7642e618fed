package main

// The control API, for the machine runner (which plays what the guests would do) and for tests. It is no part of
// vCenter and listens on loopback only; the gateway never hears of it.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

func (v *vcenter) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/machines", v.getMachines)
	mux.HandleFunc("/machines/", v.postMachine)
	mux.HandleFunc("/tasks", v.getTasks)
	mux.HandleFunc("/delays", v.postDelays)
	mux.HandleFunc("/counters", v.getCounters)
	mux.HandleFunc("/counters/reset", v.resetCounters)
	mux.HandleFunc("/sessions/end", v.endSessions)
	mux.HandleFunc("/privileges/answers", v.postPrivilegeAnswers)
	mux.HandleFunc("/accounts", v.postAccounts)
	v.infrastructure(mux)
	mux.HandleFunc("/imports", v.controlImports)
	return mux
}

type machineView struct {
	Moid         string            `json:"moid"`
	Name         string            `json:"name"`
	InstanceUUID string            `json:"instanceUuid"`
	PowerState   string            `json:"powerState"`
	Boot         int               `json:"boot"` // rises with every power-on
	CPUs         int32             `json:"cpus"`
	MemoryMB     int32             `json:"memoryMB"`
	ExtraConfig  map[string]string `json:"extraConfig"`
	Networks     []string          `json:"networks"`
	Macs         []string          `json:"macs"`
	Annotation   string            `json:"annotation"`
	Host         string            `json:"host"`
	Folder       string            `json:"folder"`
	Address      string            `json:"address"`
}

// getMachines answers at once when the revision asked for is not the present one, else when something changes.
func (v *vcenter) getMachines(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		after = -1
	}
	seconds, err := strconv.ParseFloat(r.URL.Query().Get("timeout"), 64)
	if err != nil || seconds > 300 {
		seconds = 30
	}
	revision := v.feed.wait(r.Context(), after, time.Duration(seconds*float64(time.Second)))
	v.inventory.RLock()
	machines := []machineView{}
	for _, entity := range simulator.Map.All("VirtualMachine") {
		vm := entity.(*simulator.VirtualMachine)
		simulator.Map.WithLock(vm, func() {
			if vm.Config != nil && !vm.Config.Template {
				machines = append(machines, viewOf(vm))
			}
		})
	}
	v.inventory.RUnlock()
	v.mutex.Lock()
	for i := range machines {
		machines[i].Boot = v.boots[machines[i].Moid]
	}
	v.mutex.Unlock()
	sort.Slice(machines, func(i, j int) bool { return machines[i].Name < machines[j].Name })
	reply(w, map[string]interface{}{"revision": revision, "machines": machines})
}

func viewOf(vm *simulator.VirtualMachine) machineView {
	view := machineView{
		Moid: vm.Self.Value, Name: vm.Name, InstanceUUID: vm.Config.InstanceUuid,
		PowerState: string(vm.Runtime.PowerState), Annotation: vm.Config.Annotation,
		CPUs: vm.Config.Hardware.NumCPU, MemoryMB: vm.Config.Hardware.MemoryMB,
		ExtraConfig: make(map[string]string), Networks: []string{}, Macs: []string{}, Address: vm.Guest.IpAddress,
	}
	for _, setting := range vm.Config.ExtraConfig {
		option := setting.GetOptionValue()
		view.ExtraConfig[option.Key] = fmt.Sprint(option.Value)
	}
	for _, device := range vm.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			view.Macs = append(view.Macs, card.GetVirtualEthernetCard().MacAddress)
			if network := networkOf(card); network != nil {
				view.Networks = append(view.Networks, nameOf(*network))
			}
		}
	}
	if vm.Runtime.Host != nil {
		view.Host = nameOf(*vm.Runtime.Host)
	}
	if vm.Parent != nil {
		view.Folder = nameOf(*vm.Parent)
	}
	return view
}

// guestInfo is what VMware Tools in the guest would report.
type guestInfo struct {
	Address      string `json:"address"`
	Hostname     string `json:"hostname"`
	ToolsRunning bool   `json:"toolsRunning"`
}

// stage is one thing that a guest did (boot, cloud-init, …); the benchmark takes the critical path from the task log,
// and that must hold the guests' share too. Times are seconds of the runner's own clock.
type stage struct {
	Machine  string  `json:"machine"`
	Stage    string  `json:"stage"`
	Started  float64 `json:"started"`
	Finished float64 `json:"finished"`
}

func (v *vcenter) postMachine(w http.ResponseWriter, r *http.Request) {
	moid, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/machines/"), "/")
	var info guestInfo
	var done stage
	var target interface{} = &info
	if what == "stages" {
		target = &done
	}
	if r.Method != http.MethodPost || (what != "guest" && what != "stages") {
		http.NotFound(w, r)
		return
	}
	if err := json.NewDecoder(r.Body).Decode(target); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v.inventory.Lock()
	defer v.inventory.Unlock()
	vm := machine(types.ManagedObjectReference{Type: "VirtualMachine", Value: moid})
	if vm == nil {
		http.NotFound(w, r)
		return
	}
	if what == "stages" {
		done.Machine = vm.Name
		v.tasks.mutex.Lock()
		v.tasks.stages = append(v.tasks.stages, done)
		v.tasks.mutex.Unlock()
	} else if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		http.Error(w, "the machine is not powered on", http.StatusConflict)
		return
	} else {
		setGuest(vm, info)
	}
	reply(w, map[string]string{})
}

// setGuest is what VMware Tools in the guest would report.
func setGuest(vm *simulator.VirtualMachine, info guestInfo) {
	running, tools := types.VirtualMachineToolsRunningStatusGuestToolsNotRunning, types.VirtualMachineToolsStatusToolsNotRunning
	if info.ToolsRunning {
		running, tools = types.VirtualMachineToolsRunningStatusGuestToolsRunning, types.VirtualMachineToolsStatusToolsOk
	}
	simulator.Map.WithLock(vm, func() {
		net := append([]types.GuestNicInfo{}, vm.Guest.Net...)
		if len(net) > 0 {
			net[0].IpAddress, net[0].IpConfig = nil, nil
			if info.Address != "" {
				net[0].IpAddress = []string{info.Address}
				net[0].IpConfig = &types.NetIpConfigInfo{
					IpAddress: []types.NetIpConfigInfoIpAddress{{IpAddress: info.Address, PrefixLength: 24, State: "preferred"}},
				}
			}
		}
		simulator.Map.Update(vm, []types.PropertyChange{
			{Name: "guest.ipAddress", Val: info.Address},
			{Name: "guest.hostName", Val: info.Hostname},
			{Name: "guest.net", Val: net},
			{Name: "guest.toolsRunningStatus", Val: string(running)},
			{Name: "guest.toolsStatus", Val: tools},
			{Name: "summary.guest.ipAddress", Val: info.Address},
			{Name: "summary.guest.hostName", Val: info.Hostname},
			{Name: "summary.guest.toolsRunningStatus", Val: string(running)},
		})
	})
}

type taskView struct {
	Key       string     `json:"key"`
	Method    string     `json:"method"`
	Entity    string     `json:"entity"`
	Target    string     `json:"target"`
	User      string     `json:"user"`
	State     string     `json:"state"`
	Progress  int32      `json:"progress"`
	Queued    time.Time  `json:"queueTime"`
	Started   *time.Time `json:"startTime"`
	Completed *time.Time `json:"completeTime"`
	Error     string     `json:"error"`
}

func (v *vcenter) getTasks(w http.ResponseWriter, _ *http.Request) {
	v.tasks.mutex.Lock()
	all := append([]loggedTask{}, v.tasks.all...)
	stages := append([]stage{}, v.tasks.stages...)
	v.tasks.mutex.Unlock()
	views := []taskView{}
	for _, logged := range all {
		simulator.Map.WithLock(logged.task, func() {
			info := logged.task.Info
			view := taskView{
				Key: info.Key, Method: logged.method, Entity: info.Entity.Value, Target: logged.target, User: logged.user,
				State: string(info.State), Progress: info.Progress, Queued: info.QueueTime,
				Started: info.StartTime, Completed: info.CompleteTime,
			}
			if info.Error != nil {
				view.Error = info.Error.LocalizedMessage
			}
			views = append(views, view)
		})
	}
	reply(w, map[string]interface{}{"tasks": views, "stages": stages})
}

func (v *vcenter) postDelays(w http.ResponseWriter, r *http.Request) {
	var wanted map[string]float64
	if err := json.NewDecoder(r.Body).Decode(&wanted); r.Method != http.MethodPost || err != nil {
		http.Error(w, "POST a JSON object of METHOD: SECONDS", http.StatusBadRequest)
		return
	}
	v.mutex.Lock()
	for method, seconds := range wanted {
		v.delays[method] = seconds
	}
	v.mutex.Unlock()
	reply(w, wanted)
}

func (v *vcenter) getCounters(w http.ResponseWriter, _ *http.Request) {
	v.mutex.Lock()
	counters := make(map[string]int)
	for method, count := range v.counters {
		counters[method] = count
	}
	v.mutex.Unlock()
	reply(w, counters)
}

func (v *vcenter) resetCounters(w http.ResponseWriter, _ *http.Request) {
	v.mutex.Lock()
	v.counters = make(map[string]int)
	v.mutex.Unlock()
	reply(w, map[string]int{})
}

// endSessions does what an administrator does who terminates all sessions.
func (v *vcenter) endSessions(w http.ResponseWriter, r *http.Request) {
	v.mutex.Lock()
	var keys []string
	for key := range v.sessions {
		keys = append(keys, key)
	}
	v.sessions = make(map[string]string)
	v.mutex.Unlock()
	v.inventory.Lock()
	defer v.inventory.Unlock()
	for _, key := range keys {
		// One that is already gone is as good as ended.
		_, _ = methods.TerminateSession(r.Context(), v.service, &types.TerminateSession{
			This: *v.content.SessionManager, SessionId: []string{key},
		})
	}
	reply(w, map[string]int{"ended": len(keys)})
}

// Why an account's right password is refused.
const (
	passwordExpired = "expired"
	accountLocked   = "locked"
)

// postAccounts closes accounts, as time or an administrator does: NAME: "expired", "locked", or "" for open.
func (v *vcenter) postAccounts(w http.ResponseWriter, r *http.Request) {
	var wanted map[string]string
	if !decoded(w, r, &wanted) {
		http.Error(w, "POST a JSON object of NAME: STATE", http.StatusBadRequest)
		return
	}
	v.mutex.Lock()
	for name, state := range wanted {
		v.closed[name] = state
	}
	v.mutex.Unlock()
	reply(w, wanted)
}

func reply(w http.ResponseWriter, value interface{}) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
