// SPDX-License-Identifier: BSD-2-Clause
#include <cstring>
#include <libfdt/libfdt.h>

#include <platform/fdt.hpp>

namespace lentil::platform {

// ---- Node --------------------------------------------------------------------------------------------------------

std::string_view Node::name() const {
    int length = 0;
    const char* const name = fdt_get_name(tree_, offset_, &length);
    return name ? std::string_view(name, static_cast<size_t>(length)) : std::string_view();
}

Node Node::parent() const { return {tree_, fdt_parent_offset(tree_, offset_)}; }
Node Node::first_child() const { return {tree_, fdt_first_subnode(tree_, offset_)}; }
Node Node::next_sibling() const { return {tree_, fdt_next_subnode(tree_, offset_)}; }

Node Node::child(std::string_view name) const {
    return {tree_, fdt_subnode_offset_namelen(tree_, offset_, name.data(), static_cast<int>(name.size()))};
}

std::optional<std::span<const uint8_t>> Node::data(const char* property) const {
    int length = 0;
    const void* const value = fdt_getprop(tree_, offset_, property, &length);
    if (!value || length < 0)
        return std::nullopt;
    return std::span(static_cast<const uint8_t*>(value), static_cast<size_t>(length));
}

std::optional<uint64_t> Node::cells(const char* property, unsigned at, unsigned count) const {
    const auto bytes = data(property);
    if (!bytes || count > 2 || at > bytes->size() / 4 || count > bytes->size() / 4 - at)
        return std::nullopt;
    uint64_t value = 0;
    for (unsigned i = 4 * at; i < 4 * (at + count); i++)
        value = value << 8 | (*bytes)[i];
    return value;
}

std::optional<uint32_t> Node::cell(const char* property) const {
    return cell_count(property) == 1 ? cell(property, 0) : std::nullopt;
}

std::optional<uint32_t> Node::cell(const char* property, unsigned i) const {
    const auto v = cells(property, i, 1);
    return v ? std::optional(static_cast<uint32_t>(*v)) : std::nullopt;
}

unsigned Node::cell_count(const char* property) const {
    const auto bytes = data(property);
    return bytes && bytes->size() % 4 == 0 ? static_cast<unsigned>(bytes->size() / 4) : 0;
}

std::optional<uint64_t> Node::number(const char* property) const {
    const unsigned count = cell_count(property);
    return count == 1 || count == 2 ? cells(property, 0, count) : std::nullopt;
}

std::optional<std::string_view> Node::text(const char* property) const { return text(property, 0); }

std::optional<std::string_view> Node::text(const char* property, unsigned i) const {
    const auto bytes = data(property);
    if (!bytes)
        return std::nullopt;
    std::string_view rest(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    for (;; i--) {
        const size_t end = rest.find('\0');
        if (end == std::string_view::npos)
            return std::nullopt;
        if (i == 0)
            return rest.substr(0, end);
        rest.remove_prefix(end + 1);
    }
}

bool Node::compatible_with(std::string_view name) const {
    for (unsigned i = 0;; i++) {
        const auto entry = text("compatible", i);
        if (!entry)
            return false;
        if (*entry == name)
            return true;
    }
}

bool Node::enabled() const {
    const auto status = text("status");
    return !has("status") || status == "okay" || status == "ok";
}

std::optional<uint32_t> Node::address_cells() const { return has("#address-cells") ? cell("#address-cells") : 2; }
std::optional<uint32_t> Node::size_cells() const { return has("#size-cells") ? cell("#size-cells") : 1; }

std::optional<Region> Node::reg(unsigned i) const {
    Node bus = parent();
    if (!bus)
        return std::nullopt;
    const auto ac = bus.address_cells(), sc = bus.size_cells();
    if (!ac || !sc || *ac == 0 || *ac > 2 || *sc > 2)
        return std::nullopt;
    const unsigned entry = *ac + *sc;
    if (i >= cell_count("reg") / entry)
        return std::nullopt;
    Region region{*cells("reg", i * entry, *ac), *sc ? *cells("reg", i * entry + *ac, *sc) : 0};
    if (region.start + region.size < region.start)
        return std::nullopt;
    // Up to the root: each bus says where in its parent's space its own addresses appear.
    uint32_t child_cells = *ac;
    for (Node above = bus.parent(); above; bus = above, above = above.parent()) {
        const auto parent_cells = above.address_cells(), length_cells = bus.size_cells();
        if (!bus.has("ranges") || !parent_cells || *parent_cells == 0 || *parent_cells > 2 || !length_cells ||
            *length_cells == 0 || *length_cells > 2)
            return std::nullopt;
        const unsigned row = child_cells + *parent_cells + *length_cells;
        const unsigned rows = bus.cell_count("ranges") / row;
        bool found = rows == 0; // an empty "ranges": the same addresses
        for (unsigned r = 0; r < rows && !found; r++) {
            const uint64_t from = *bus.cells("ranges", r * row, child_cells);
            const uint64_t to = *bus.cells("ranges", r * row + child_cells, *parent_cells);
            const uint64_t length = *bus.cells("ranges", r * row + child_cells + *parent_cells, *length_cells);
            if (region.start >= from && region.start - from < length && region.size <= length - (region.start - from)) {
                region.start = to + (region.start - from);
                found = true;
            }
        }
        if (!found || region.start + region.size < region.start)
            return std::nullopt;
        child_cells = *parent_cells;
    }
    return region;
}

// ---- DeviceTree --------------------------------------------------------------------------------------------------

const char* DeviceTree::open(const void* blob, size_t limit) {
    blob_ = nullptr;
    if (limit < sizeof(fdt_header) || fdt_magic(blob) != FDT_MAGIC)
        return "there is no device tree where the firmware said (wrong magic number)";
    if (fdt_totalsize(blob) < sizeof(fdt_header) || fdt_totalsize(blob) > limit)
        return "the device tree's size is out of range";
    if (fdt_check_full(blob, fdt_totalsize(blob)) != 0)
        return "the device tree is damaged";
    blob_ = blob;
    return nullptr;
}

Node DeviceTree::find(const char* path) const { return {blob_, fdt_path_offset(blob_, path)}; }
Node DeviceTree::by_phandle(uint32_t phandle) const { return {blob_, fdt_node_offset_by_phandle(blob_, phandle)}; }
Node DeviceTree::next(Node node) const { return {blob_, fdt_next_node(blob_, node.offset(), nullptr)}; }
size_t DeviceTree::size() const { return fdt_totalsize(blob_); }

std::optional<Region> DeviceTree::reservation(unsigned i) const {
    uint64_t start = 0, size = 0;
    const int count = fdt_num_mem_rsv(blob_);
    if (count < 0 || i >= static_cast<unsigned>(count) ||
        fdt_get_mem_rsv(blob_, static_cast<int>(i), &start, &size) != 0)
        return std::nullopt;
    return Region{start, size};
}

} // namespace lentil::platform
