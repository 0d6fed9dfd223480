// SPDX-License-Identifier: BSD-2-Clause
// The flattened device tree (Devicetree Specification 0.4) as nodes and checked properties. Reads only, allocates
// nothing, believes nothing: every value that is missing or of the wrong size reads as "none". Builds on the host too.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <libkern/types.hpp>

namespace lentil::platform {

/// A device's registers or a piece of memory, as addresses of the processor.
struct Region {
    paddr_t start = 0;
    uint64_t size = 0;
};

class Node {
public:
    constexpr Node() = default;
    constexpr Node(const void* tree, int offset) : tree_(tree), offset_(offset) {}

    explicit operator bool() const { return offset_ >= 0; }
    /// With its unit address: "uart@10000000".
    std::string_view name() const;
    Node parent() const;
    Node first_child() const;
    Node next_sibling() const;
    /// The child of that name; the unit address may be left out.
    Node child(std::string_view name) const;

    bool has(const char* property) const { return data(property).has_value(); }
    std::optional<std::span<const uint8_t>> data(const char* property) const;
    /// A property of exactly one 32-bit cell.
    std::optional<uint32_t> cell(const char* property) const;
    /// Cell `i` of a property of several.
    std::optional<uint32_t> cell(const char* property, unsigned i) const;
    unsigned cell_count(const char* property) const;
    /// A property of one or two cells.
    std::optional<uint64_t> number(const char* property) const;
    /// A terminated string; the first one of a list.
    std::optional<std::string_view> text(const char* property) const;
    /// String `i` of a list.
    std::optional<std::string_view> text(const char* property, unsigned i) const;
    bool compatible_with(std::string_view name) const;
    /// No "status", or "okay".
    bool enabled() const;
    /// Entry `i` of "reg", translated through the "ranges" of every bus above.
    std::optional<Region> reg(unsigned i) const;
    std::optional<uint32_t> phandle() const { return cell("phandle"); }

    const void* tree() const { return tree_; }
    int offset() const { return offset_; }

private:
    std::optional<uint64_t> cells(const char* property, unsigned at, unsigned count) const;
    std::optional<uint32_t> address_cells() const;
    std::optional<uint32_t> size_cells() const;

    const void* tree_ = nullptr;
    int offset_ = -1;
};

class DeviceTree {
public:
    constexpr DeviceTree() = default;

    /// Checks the header first (which must be readable), then the whole structure. nullptr on success, else what is
    /// wrong.
    const char* open(const void* blob, size_t limit);

    Node root() const { return Node(blob_, 0); }
    Node find(const char* path) const;
    Node by_phandle(uint32_t phandle) const;
    /// The node after `node` in the order of the blob, at any depth; the root comes after none.
    Node next(Node node) const;
    size_t size() const;
    const void* blob() const { return blob_; }
    /// Entry `i` of the memory reservation block.
    std::optional<Region> reservation(unsigned i) const;

private:
    const void* blob_ = nullptr;
};

/// Visits the direct children of `node`.
template<class F>
void for_each_child(Node node, F&& visit) {
    for (Node c = node.first_child(); c; c = c.next_sibling())
        visit(c);
}

} // namespace lentil::platform
