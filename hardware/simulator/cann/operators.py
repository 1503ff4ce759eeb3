"""Which ONNX operators ATC of CANN 8.0 has a parser for, and which chips it compiles for.

The list follows the built-in ONNX plug-ins (`ops/built-in/framework/onnx_plugin` of CANN's operator repository, later
`framework/*_onnx_plugin.cpp` beside each operator) and Huawei's list of supported ONNX operators.

**Quantized ONNX is not among them.** There is no built-in plug-in for QuantizeLinear, DequantizeLinear,
DynamicQuantizeLinear, MatMulInteger, ConvInteger, QLinearMatMul or QLinearConv: only for CANN's own AscendQuant,
AscendDequant and AscendAntiQuant. Huawei's guide to AMCT ("QAT Model Adaptation to CANN Format", CANN 8.0 to 9.1,
hiascend.com, atlasamct_16_0147/0148 and convert_qat_model, 0159/0160) says that a model with QuantizeLinear and
DequantizeLinear has to go through `convert_qat_model` first, and only then through ATC. Plug-ins for the ONNX
operators exist in users' repositories, as custom operators. What does pass: int8 weights as Cast and Mul.
"""

from __future__ import annotations

OPSETS = range(11, 16)

_OPERATORS = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift Cast Ceil Celu
Clip Compress Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace Det Div Dropout Einsum
Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm GlobalAveragePool
GlobalLpPool GlobalMaxPool Greater GreaterOrEqual HardSigmoid HardSwish Hardmax Identity If InstanceNormalization
IsInf IsNaN LRN LSTM LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool
MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mod Mul Multinomial Neg NonMaxSuppression NonZero Not OneHot
Or PRelu Pad Pow RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
ReverseSequence RoiAlign Round Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size
Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh TfIdfVectorizer ThresholdedRelu
Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
AscendAntiQuant AscendDequant AscendDequantS16 AscendQuant AscendRequant AscendRequantS16
"""
SUPPORTED = frozenset(_OPERATORS.split())

# "Ascend" and the name that npu-smi shows. Plain Ascend910 was for CANN 5.0 and is none.
_CHIPS = """
310 310P1 310P3 310P5 310P7 310B1 310B2 310B3 310B4
910A 910B 910PremiumA 910ProA 910ProB 910B1 910B2 910B2C 910B3 910B4 910B4_1
910_9362 910_9372 910_9381 910_9382 910_9391 910_9392
"""
SOC_VERSIONS = frozenset(f"Ascend{name}" for name in _CHIPS.split())
