package main

// NoPermission, computed from the simulator's real roles and permissions, which it keeps but does not enforce.
// Which call needs which privilege on which object: VMware's API reference, "Required Privileges" of each method.

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const adminRole = -1

// account: without privileges it is an administrator; with some it gets a role of its own at the root, propagated.
type account struct {
	Name       string   `json:"name"`
	Password   string   `json:"password"`
	Privileges []string `json:"privileges"`
	Groups     []string `json:"groups"` // whose permissions count for the account too
}

func readAccounts(text string) (map[string]account, error) {
	var list []account
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("VCENTER_ACCOUNTS must be a JSON list of {name, password, privileges}: %w", err)
	}
	accounts := make(map[string]account)
	for _, one := range list {
		accounts[one.Name] = one
	}
	return accounts, nil
}

func (v *vcenter) grantAccounts() error {
	for _, one := range v.accounts {
		role := int32(adminRole)
		if one.Privileges != nil {
			reply := v.addRole(&types.AddAuthorizationRole{Name: "role of " + one.Name, PrivIds: one.Privileges})
			if reply.fault != nil {
				return fmt.Errorf("role of %s: %T", one.Name, reply.fault)
			}
			role = reply.response.(*types.AddAuthorizationRoleResponse).Returnval
		}
		v.setPermissions(&types.SetEntityPermissions{
			Entity:     v.content.RootFolder,
			Permission: []types.Permission{{Principal: one.Name, RoleId: role, Propagate: true}},
		})
	}
	return nil
}

type need struct {
	object    types.ManagedObjectReference
	privilege string
}

// missingPrivilege names the first privilege that the account lacks for the call, or nil. Of an object that is gone the
// call itself says so.
func (v *vcenter) missingPrivilege(user string, method *simulator.Method) types.BaseMethodFault {
	for _, n := range v.needs(method) {
		if simulator.Map.Get(n.object) == nil {
			continue
		}
		if !v.privilegesOn(user, n.object)[n.privilege] {
			return &types.NoPermission{Object: n.object, PrivilegeId: n.privilege}
		}
	}
	return nil
}

func (v *vcenter) needs(method *simulator.Method) []need {
	this := method.This
	switch request := method.Body.(type) {
	case *types.CloneVM_Task:
		return v.cloneNeeds(request)
	case *types.PowerOnVM_Task:
		return []need{{this, "VirtualMachine.Interact.PowerOn"}}
	case *types.PowerOffVM_Task:
		return []need{{this, "VirtualMachine.Interact.PowerOff"}}
	case *types.ReconfigVM_Task:
		return reconfigureNeeds(this, &request.Spec)
	case *types.Destroy_Task:
		return destroyNeeds(this)
	case *types.CreateFolder:
		return []need{{this, "Folder.Create"}}
	case *types.CreateImportSpec:
		return []need{{request.ResourcePool, "VApp.Import"}, {request.Datastore, "Datastore.AllocateSpace"}}
	case *types.ImportVApp:
		return importNeeds(this, request)
	case *types.Rename_Task:
		return renameNeeds(this)
	case *types.CreateVM_Task:
		return []need{{this, "VirtualMachine.Inventory.Create"}, {request.Pool, "Resource.AssignVMToPool"}}
	case *types.MarkAsTemplate:
		return []need{{this, "VirtualMachine.Provisioning.MarkAsTemplate"}}
	case *types.QueryEvents:
		if request.Filter.Entity != nil {
			return []need{{request.Filter.Entity.Entity, "System.View"}}
		}
	case *types.AddAuthorizationRole, *types.UpdateAuthorizationRole, *types.RemoveAuthorizationRole:
		return []need{{v.content.RootFolder, "Authorization.ModifyRoles"}}
	case *types.SetEntityPermissions:
		return []need{{request.Entity, "Authorization.ModifyPermissions"}}
	case *types.RemoveEntityPermission:
		return []need{{request.Entity, "Authorization.ModifyPermissions"}}
	}
	return nil
}

func (v *vcenter) cloneNeeds(request *types.CloneVM_Task) []need {
	source := "VirtualMachine.Provisioning.Clone"
	if vm := machine(request.This); vm != nil && vm.Config.Template {
		source = "VirtualMachine.Provisioning.DeployTemplate"
	}
	needs := []need{
		{request.This, source},
		{request.Folder, "VirtualMachine.Inventory.CreateFromExisting"},
	}
	if pool := request.Spec.Location.Pool; pool != nil {
		needs = append(needs, need{*pool, "Resource.AssignVMToPool"})
	}
	if datastore := request.Spec.Location.Datastore; datastore != nil {
		needs = append(needs, need{*datastore, "Datastore.AllocateSpace"})
	}
	// The clone gets disks of its own; what else is changed about it needs what a later change would.
	needs = append(needs, need{request.Folder, "VirtualMachine.Config.AddNewDisk"})
	needs = append(needs, networkNeeds(request.Spec.Location.DeviceChange)...)
	if request.Spec.Config != nil {
		needs = append(needs, reconfigureNeeds(request.Folder, request.Spec.Config)...)
	}
	return needs
}

func importNeeds(pool types.ManagedObjectReference, request *types.ImportVApp) []need {
	needs := []need{{pool, "VApp.Import"}}
	if request.Folder != nil {
		needs = append(needs, need{*request.Folder, "VApp.Import"})
	}
	if spec, ok := request.Spec.(*types.VirtualMachineImportSpec); ok {
		needs = append(needs, networkNeeds(spec.ConfigSpec.DeviceChange)...)
	}
	return needs
}

func renameNeeds(this types.ManagedObjectReference) []need {
	privilege := map[string]string{"VirtualMachine": "VirtualMachine.Config.Rename", "Folder": "Folder.Rename"}[this.Type]
	if privilege == "" {
		return nil
	}
	return []need{{this, privilege}}
}

func networkNeeds(changes []types.BaseVirtualDeviceConfigSpec) []need {
	var needs []need
	for _, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		if spec.Operation == types.VirtualDeviceConfigSpecOperationRemove {
			continue
		}
		if card, ok := spec.Device.(types.BaseVirtualEthernetCard); ok {
			if network := networkOf(card); network != nil {
				needs = append(needs, need{*network, "Network.Assign"})
			}
		}
	}
	return needs
}

func networkOf(card types.BaseVirtualEthernetCard) *types.ManagedObjectReference {
	switch backing := card.GetVirtualEthernetCard().Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		if backing.Network != nil {
			return backing.Network
		}
		for _, entity := range simulator.Map.All("Network") {
			if network, ok := entity.(*mo.Network); ok && network.Name == backing.DeviceName {
				return &network.Self
			}
		}
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		return &types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: backing.Port.PortgroupKey}
	}
	return nil
}

func reconfigureNeeds(this types.ManagedObjectReference, spec *types.VirtualMachineConfigSpec) []need {
	var needs []need
	add := func(wanted bool, privilege string) {
		if wanted {
			needs = append(needs, need{this, "VirtualMachine.Config." + privilege})
		}
	}
	add(spec.NumCPUs != 0 || spec.NumCoresPerSocket != 0, "CPUCount")
	add(spec.MemoryMB != 0, "Memory")
	add(len(spec.ExtraConfig) != 0, "AdvancedConfig")
	add(spec.Annotation != "", "Annotation")
	add(spec.InstanceUuid != "" || spec.Uuid != "", "Settings")
	add(spec.Name != "", "Rename")
	for _, change := range spec.DeviceChange {
		device := change.GetVirtualDeviceConfigSpec()
		_, disk := device.Device.(*types.VirtualDisk)
		switch {
		case disk && device.Operation == types.VirtualDeviceConfigSpecOperationRemove:
			add(true, "RemoveDisk")
		case disk && device.Operation == types.VirtualDeviceConfigSpecOperationEdit:
			add(true, "DiskExtend")
		case disk && device.FileOperation == "":
			add(true, "AddExistingDisk")
		case disk:
			add(true, "AddNewDisk")
		case device.Operation == types.VirtualDeviceConfigSpecOperationEdit:
			add(true, "EditDevice")
		default:
			add(true, "AddRemoveDevice")
		}
	}
	return append(needs, networkNeeds(spec.DeviceChange)...)
}

func destroyNeeds(this types.ManagedObjectReference) []need {
	privilege := map[string]string{"VirtualMachine": "VirtualMachine.Inventory.Delete", "Folder": "Folder.Delete"}[this.Type]
	if privilege == "" {
		return nil
	}
	return []need{{this, privilege}}
}

// privilegesOn follows vCenter's rules: a permission on the object itself overrides inherited ones, the nearest
// propagated one counts, and a machine inherits from its folder and from its resource pool, both counted together.
func (v *vcenter) privilegesOn(user string, object types.ManagedObjectReference) map[string]bool {
	granted := make(map[string]bool)
	if v.addRolesAt(user, object, false, granted) {
		return granted
	}
	for _, parent := range parentsOf(object) {
		for at := &parent; at != nil; at = parentOf(*at) {
			if v.addRolesAt(user, *at, true, granted) {
				break
			}
		}
	}
	return granted
}

// addRolesAt: an account's own permission goes before those of its groups, which add up. False: none stands there.
func (v *vcenter) addRolesAt(user string, object types.ManagedObjectReference, inherited bool, granted map[string]bool) bool {
	var groups []int32
	for _, permission := range v.permissionsAt(object) {
		switch {
		case inherited && !permission.Propagate:
		case !permission.Group && sameAccount(permission.Principal, user):
			v.addRolePrivileges(permission.RoleId, granted)
			return true
		case permission.Group && v.isMember(user, permission.Principal):
			groups = append(groups, permission.RoleId)
		}
	}
	for _, role := range groups {
		v.addRolePrivileges(role, granted)
	}
	return len(groups) > 0
}

func (v *vcenter) isMember(user string, group string) bool {
	for _, name := range v.accounts[user].Groups {
		if sameAccount(name, group) {
			return true
		}
	}
	return false
}

// sameAccount: vCenter takes name@domain and DOMAIN\name for the same account.
func sameAccount(one string, other string) bool {
	return plainAccount(one) == plainAccount(other)
}

func plainAccount(name string) string {
	name = strings.ToLower(name)
	if domain, account, ok := strings.Cut(name, `\`); ok {
		return account + "@" + domain
	}
	return name
}

func (v *vcenter) permissionsAt(object types.ManagedObjectReference) []types.Permission {
	if _, ok := simulator.Map.Get(object).(mo.Entity); !ok {
		return nil
	}
	body := v.authorization().RetrieveEntityPermissions(&types.RetrieveEntityPermissions{Entity: object})
	return body.(*methods.RetrieveEntityPermissionsBody).Res.Returnval
}

func (v *vcenter) addRolePrivileges(id int32, granted map[string]bool) {
	for _, role := range v.authorization().RoleList {
		if role.RoleId == id {
			for _, privilege := range role.Privilege {
				granted[privilege] = true
			}
		}
	}
}

func (v *vcenter) authorization() *simulator.AuthorizationManager {
	return simulator.Map.Get(*v.content.AuthorizationManager).(*simulator.AuthorizationManager)
}

func parentsOf(object types.ManagedObjectReference) []types.ManagedObjectReference {
	var parents []types.ManagedObjectReference
	if parent := parentOf(object); parent != nil {
		parents = append(parents, *parent)
	}
	if vm := machine(object); vm != nil && vm.ResourcePool != nil {
		parents = append(parents, *vm.ResourcePool)
	}
	return parents
}

func parentOf(object types.ManagedObjectReference) *types.ManagedObjectReference {
	if entity, ok := simulator.Map.Get(object).(mo.Entity); ok {
		return entity.Entity().Parent
	}
	return nil
}
